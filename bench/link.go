package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gobwas/ws"
)

const (
	// connectTimeout bounds a connect, from the first packet to inbox_drained.
	connectTimeout = time.Minute
	// firstBuffer is the first size of the read buffer, which grows with the frames.
	firstBuffer = 512
	// busyBuffer is its size after a read of more than firstBuffer.
	busyBuffer = 16 << 10
)

// link is one connection of a user.
type link struct {
	// Static.
	user    *user
	conn    net.Conn
	traffic *traffic
	beat    time.Duration // the longest pause between frames
	before  period        // the connection before this one
	ended   chan struct{} // closed after a joined link has ended and left the crowd

	// Owned by the reader: connect, and then its goroutine.
	in         []byte
	start, end int // the bytes of in that are not handled yet
	drained    bool
	since      int64 // since epoch: the time of inbox_drained

	wmu     sync.Mutex // guards out, closed and the order of writes
	out     []byte     // the bytes of the next flush; bounded by the answers to one read
	closed  bool       // a close frame is queued: the server ignores frames after it
	queued  atomic.Bool
	spoke   atomic.Int64 // since epoch: the last flush
	leaving atomic.Bool  // the end of the connection is expected
}

// endpoint is the destination and the source of a link.
type endpoint struct {
	url    *url.URL // ws://host:port/ws
	source net.IP   // nil: any
}

// dial opens the socket and sends hello. It does not wait for the answer.
func dial(ctx context.Context, at endpoint, p *user, t *traffic) (*link, error) {
	dialer := net.Dialer{Timeout: connectTimeout, KeepAlive: -1}
	if at.source != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: at.source}
		dialer.Control = lateBind
	}
	conn, err := dialer.DialContext(ctx, "tcp", at.url.Host)
	if err != nil {
		return nil, fmt.Errorf("failed to connect: %w", err)
	}
	_ = conn.SetDeadline(time.Now().Add(connectTimeout))
	upgrade := ws.Dialer{ReadBufferSize: firstBuffer, WriteBufferSize: firstBuffer}
	if _, _, err := upgrade.Upgrade(conn, at.url); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("failed to open the WebSocket: %w", err)
	}
	l := &link{user: p, conn: conn, traffic: t, before: p.lastPeriod(), ended: make(chan struct{}), in: make([]byte, firstBuffer)}
	l.push(p.hello)
	if err := l.flush(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return l, nil
}

// lateBind leaves the choice of the source port to connect, which knows the destination.
// Without it, an address soon runs out of ports.
func lateBind(_, _ string, c syscall.RawConn) error {
	const ipBindAddressNoPort = 24
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, ipBindAddressNoPort, 1)
	})
	return errors.Join(err, failed)
}

// untilDrained reads the answer to hello and the backlog.
func (l *link) untilDrained() error {
	for {
		if err := l.handle(); err != nil {
			return err
		}
		if l.drained {
			break
		}
		if err := l.fill(); err != nil {
			return err
		}
	}
	return l.conn.SetDeadline(time.Time{})
}

// waited returns how long the device was connected since a moment, on this link and the
// previous one: for so long the server could have delivered a message of that moment.
func (l *link) waited(at int64) time.Duration {
	took := max(0, l.before.until-max(at, l.before.from))
	if l.drained {
		took += max(0, sinceEpoch()-max(at, l.since))
	}
	return time.Duration(took)
}

// read handles frames until the connection ends. It returns nil if that is expected.
func (l *link) read() error {
	for {
		err := l.handle()
		if err == nil {
			err = l.fill()
		}
		if err != nil {
			if l.leaving.Load() {
				return nil
			}
			return fmt.Errorf("the connection of %s broke: %w", l.user.id, err)
		}
	}
}

// handle handles all whole frames of the buffer, then writes the answers in one write.
func (l *link) handle() error {
	for {
		op, payload, size, err := cutFrame(l.in[l.start:l.end])
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		l.start += size
		if err := l.frame(op, payload); err != nil {
			return err
		}
	}
	if l.queued.Load() {
		return l.flush()
	}
	return nil
}

// fill makes room in the buffer and reads once.
func (l *link) fill() error {
	if l.start == l.end {
		l.start, l.end = 0, 0
	}
	if l.end == len(l.in) {
		into := l.in
		if l.end-l.start > len(l.in)/2 {
			if len(l.in) >= 2*maxServerFrame {
				return errors.New("a frame is too long")
			}
			into = make([]byte, max(2*len(l.in), busyBuffer))
		}
		l.end = copy(into, l.in[l.start:l.end])
		l.start, l.in = 0, into
	}
	n, err := l.conn.Read(l.in[l.end:])
	l.end += n
	if n > 0 {
		return nil
	}
	return err
}

// closedBy is the code of the server's close frame.
type closedBy struct {
	code   int
	reason string
}

func (c closedBy) Error() string {
	return fmt.Sprintf("the server closed the connection: %d %s", c.code, c.reason)
}

func (l *link) frame(op ws.OpCode, payload []byte) error {
	switch op {
	case ws.OpText:
		return l.text(payload)
	case ws.OpPing:
		l.push(func(b []byte) []byte {
			return appendFrame(b, ws.OpPong, func(b []byte) []byte { return append(b, payload...) })
		})
	case ws.OpClose:
		code, reason := ws.ParseCloseFrameData(payload)
		return closedBy{int(code), reason}
	}
	return nil
}

// text handles one frame of the protocol.
func (l *link) text(frame []byte) error {
	switch string(textField(frame, fieldType)) {
	case "incoming_message":
		l.traffic.incoming(l, frame)
	case "group_update", "user_deleted":
		l.delivered(textField(frame, fieldMessageID))
	case "message_received":
		l.traffic.answer(l, numberField(frame, fieldNumber), true)
	case "message_delivered":
		l.traffic.receipts.Add(1)
	case "inbox_drained":
		l.drained, l.since = true, sinceEpoch()
	case "welcome":
		l.welcome(frame)
	case "error":
		code, message := string(textField(frame, fieldCode)), string(textField(frame, fieldMessage))
		number := numberField(frame, fieldNumber)
		if number == 0 {
			return fmt.Errorf("the server answered %s: %s", code, message)
		}
		l.traffic.refusal(code, message)
		l.traffic.answer(l, number, false)
	case "reconnect":
		return errors.New("the server shuts down")
	}
	return nil
}

func (l *link) welcome(frame []byte) {
	l.beat = time.Duration(numberField(frame, fieldHeartbeat)) * time.Millisecond
	l.user.mu.Lock()
	defer l.user.mu.Unlock()
	if l.user.device == "" {
		l.user.device = deviceOf(frame)
		l.user.base = numberField(frame, fieldLast)
	}
}

// push adds a frame to the next flush.
func (l *link) push(build func([]byte) []byte) {
	l.wmu.Lock()
	l.out = build(l.out)
	l.wmu.Unlock()
	l.queued.Store(true)
}

// flush writes the queued frames.
func (l *link) flush() error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	l.queued.Store(false)
	if len(l.out) == 0 {
		return nil
	}
	_, err := l.conn.Write(l.out)
	l.out = l.out[:0]
	l.spoke.Store(sinceEpoch())
	if err != nil {
		return fmt.Errorf("failed to write: %w", err)
	}
	return nil
}

// send queues a message to a user. Its latency counts from at.
func (l *link) send(to *user, size int, at int64) {
	p := l.user
	p.mu.Lock()
	defer p.mu.Unlock()
	l.write(`receiver_id`, string(to.id), p.note(to, at), size)
}

// sendGroup queues a message to a group. Its latency counts from at.
func (l *link) sendGroup(to *group, size int, at int64) {
	p := l.user
	p.mu.Lock()
	defer p.mu.Unlock()
	l.write(`group_id`, to.id, p.noteGroup(to, at), size)
}

// write queues a send. The caller holds the lock of the user, so that numbers go out in
// order.
func (l *link) write(field, to string, number int64, size int) {
	p := l.user
	now := time.Now().UnixMilli()
	l.push(func(b []byte) []byte {
		return appendFrame(b, ws.OpText, func(b []byte) []byte {
			b = append(b, `{"type":"send_message","`...)
			b = append(b, field...)
			b = append(b, `":"`...)
			b = append(b, to...)
			b = append(b, `","content":"`...)
			b = appendContent(b, p.index, number, size)
			b = append(b, `","message_id_by_client":`...)
			b = strconv.AppendInt(b, number, 10)
			b = append(b, `,"timestamp":`...)
			b = strconv.AppendInt(b, now, 10)
			return append(b, '}')
		})
	})
}

// delivered queues the acknowledgement of a message. It returns false if the server would
// ignore it.
func (l *link) delivered(id []byte) bool {
	now := time.Now().UnixMilli()
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if l.closed {
		return false
	}
	l.out = appendFrame(l.out, ws.OpText, func(b []byte) []byte {
		b = append(b, `{"type":"message_delivered","message_id":"`...)
		b = append(b, id...)
		b = append(b, `","timestamp":`...)
		b = strconv.AppendInt(b, now, 10)
		return append(b, '}')
	})
	l.queued.Store(true)
	return true
}

func (l *link) heartbeat() error {
	l.push(func(b []byte) []byte {
		return appendFrame(b, ws.OpText, func(b []byte) []byte { return append(b, `{"type":"heartbeat"}`...) })
	})
	return l.flush()
}

// leave asks the server to end the connection after all earlier frames. The reader ends with
// the server's answer.
func (l *link) leave() {
	l.leaving.Store(true)
	_ = l.conn.SetDeadline(time.Now().Add(leaveTimeout))
	l.push(func(b []byte) []byte {
		l.closed = true
		return appendFrame(b, ws.OpClose, func(b []byte) []byte { return append(b, 0x03, 0xe8) }) // 1000
	})
	if l.flush() != nil {
		_ = l.conn.Close()
	}
}

// leaveTimeout bounds the wait for the server's close frame.
const leaveTimeout = 10 * time.Second

// cut resets the connection.
func (l *link) cut() {
	l.leaving.Store(true)
	if tcp, ok := l.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = l.conn.Close()
}
