package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"roost/gateway/auth"
	"roost/gateway/limit"
	"roost/gateway/socket"
	"roost/schemas"
)

// maxOutbox bounds the frames that wait to be written. Messages among them are
// bounded by max_in_flight, and all whom the client looks at may go offline at once;
// beyond, the client does not read.
const maxOutbox = 2*schemas.MaxInFlight + 2*schemas.MaxPresenceUsers

const (
	// maxOutboxBytes bounds the same in bytes, what is being written included.
	maxOutboxBytes = 2 << 20
	// maxUnwritten is how many bytes of them an inbox may leave to be written before it waits,
	// and the others that have much to send.
	maxUnwritten = 128 << 10
)

// conn is one WebSocket.
type conn struct {
	// Static.
	server  *Server
	address string
	ctx     context.Context // ends with the connection
	cancel  context.CancelFunc
	wg      sync.WaitGroup // writer, look-ups of retries

	bearer string // token of the HTTP request, or empty; of the reader, until greet is done
	socket socket.Socket

	// Guarded by server.mu.
	countedUser schemas.UserID
	session     *session          // once the device is held
	device      schemas.DeviceID  // of the session; empty before
	registered  schemas.Timestamp // when the device was
	noted       schemas.Timestamp // since when the device is on record as active
	pinged      time.Time         // when it was pinged last

	mu      sync.Mutex    // guards the rest
	outbox  [][]byte      // at most maxOutbox; more closes the connection with 4008
	queued  int           // bytes of outbox and of what is being written, at most maxOutboxBytes; more closes it too
	waiting *session      // its inbox waits for room; nil if it does not
	writing bool          // a writer runs
	pinging bool          // the writer is to ping
	held    bool          // a few frames may wait for those that follow
	closing bool          // nothing more is queued
	room    chan struct{} // closed once something was written; nil while nobody waits for it
	ending  *ending       // what the writer closes with, once the outbox is empty

	// slots holds one for each send without an answer. It is full at
	// max_outstanding_sends, and then reading waits.
	slots chan struct{}

	finishing sync.Mutex // held by who takes all slots; guards finished
	finished  bool       // all slots are taken for good
}

// serveWS is GET /ws.
func (s *Server) serveWS(w http.ResponseWriter, r *http.Request) {
	token, address := auth.Bearer(r), s.origins.Proxies.Client(r).LimitKey()
	w.Header().Set("Connection", "close") // of a refusal: a proxy must not use the connection for others
	if token != "" {
		// Refused before anything else is read.
		if _, err := s.gate.Authenticate(r.Context(), token); err != nil {
			s.answers.Fail(w, r, err)
			return
		}
	}
	if e := s.admit(address); e != nil {
		s.answers.Fail(w, r, e)
		return
	}
	netConn, early, err := s.upgrade(w, r)
	if err != nil {
		s.dismiss(address)
		s.metrics.refused.WithLabelValues("upgrade").Inc()
		return
	}
	c := &conn{server: s, address: address, bearer: token, slots: make(chan struct{}, schemas.MaxOutstanding)}
	c.socket.Adopt(netConn, early, limit.New(s.opts.Limits.FramesPerSecond))
	c.ctx, c.cancel = context.WithCancel(context.Background()) // Drain ends all of them
	s.metrics.opened.Inc()
	// Goroutines of its own let the HTTP handler's stack and buffers go.
	if !s.start(c) {
		c.cancel()
		s.dismiss(address)
		_ = c.socket.Close(ws.StatusCode(schemas.CloseRestarting), "the server restarts")
		c.socket.Linger()
		c.socket.CloseTCP()
	}
}

// upgrade does the handshake of a WebSocket. It answers each request that it refuses.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) (net.Conn, []byte, error) {
	if !s.origins.Allows(r) {
		err := schemas.Errorf(schemas.CodeForbidden, "Origin: web pages of %s may not connect here.", r.Header.Get("Origin"))
		s.answers.Fail(w, r, err)
		return nil, nil, err
	}
	if status, err := socket.CheckHandshake(w, r); err != nil {
		s.answers.FailWith(w, r, status, err)
		return nil, nil, err
	}
	return socket.Upgrade(w, r)
}

// run greets the client. What follows has a goroutine of its own: the stack that
// the greeting has grown is not for an idle connection to keep.
func (c *conn) run() {
	session := c.greet()
	c.bearer = ""
	if session == nil {
		c.hangUp()
		c.server.leave(c)
		return
	}
	c.socket.Shrink() // a hello says nothing about the size of later frames
	c.server.wg.Go(func() {
		c.readFrames(session)
		c.finish(session.end)
		c.server.wakeups.Forget(session)
	})
}

// finish hangs up and ends the session at the same time, so that TCP ends right after the
// close handshake.
func (c *conn) finish(endSession func()) {
	var ending sync.WaitGroup
	ending.Go(endSession)
	c.hangUp()
	ending.Wait()
	c.server.leave(c)
}

// hangUp ends the socket, once nothing is read any more: the writer, the close
// handshake, if it is under way, and TCP.
func (c *conn) hangUp() {
	c.mu.Lock()
	c.closing = true // so that no writer starts any more
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
	c.socket.Linger()
	c.socket.CloseTCP()
	c.socket.Release()
}

// readFrames hands frame after frame to the session.
func (c *conn) readFrames(session *session) {
	for {
		data, ok := c.read()
		if !ok {
			return
		}
		session.handle(data)
	}
}

// read returns the next text frame; false once the connection is over. A binary frame is
// answered as a bad one.
func (c *conn) read() ([]byte, bool) {
	for {
		data, text, ok := c.readFrame()
		if !ok || text {
			return data, ok
		}
		c.sendError(errBinary(), 0)
	}
}

// readFrame returns the next frame, no sooner than the limit allows, and whether it is
// text; not ok once the connection is over.
func (c *conn) readFrame() (data []byte, text, ok bool) {
	kind, data, err := c.socket.Read(c.ctx)
	if err != nil {
		c.noteEnd(err)
		return nil, false, false
	}
	if c.ctx.Err() != nil {
		return nil, false, false
	}
	return data, kind == ws.OpText, true
}

func errBinary() *schemas.Error {
	return schemas.Errorf(schemas.CodeBadFrame, "Frames are text, this one is binary.")
}

// noteEnd counts how the client went, and answers its close frame.
func (c *conn) noteEnd(err error) {
	if c.ctx.Err() != nil {
		return // closed by this side, and counted there
	}
	var closed socket.ClosedError
	var refused socket.RefusedError
	reason := "lost"
	switch {
	case errors.As(err, &closed):
		reason = endLabel(closed.Code)
		c.answerClose(closed.Code)
	case errors.As(err, &refused) && refused.Code == ws.StatusMessageTooBig:
		reason = "too_big"
	case errors.As(err, &refused):
		reason = "client_error"
	case errors.Is(err, net.ErrClosed):
		reason = "closed"
	}
	c.server.metrics.closed.WithLabelValues(reason).Inc()
}

// errHungUp means that a connection ended before something could begin for it.
var errHungUp = errors.New("the connection ended")

// causes says whether the end of the connection is why something failed. That is no fault
// of the server.
func (c *conn) causes(err error) bool {
	return errors.Is(err, errHungUp) || c.ctx.Err() != nil && errors.Is(err, context.Canceled)
}

// answerClose answers the client's close frame after the answers to its sends, for which
// it waits for at most socket.CloseTimeout.
func (c *conn) answerClose(code ws.StatusCode) {
	ctx, cancel := context.WithTimeout(c.ctx, socket.CloseTimeout)
	defer cancel()
	c.finishSends(ctx)
	c.endWith(&ending{schemas.CloseCode(code), ""})
}

// endLabel distinguishes a client that closed in order from one that reports an error.
func endLabel(code ws.StatusCode) string {
	switch code {
	case ws.StatusNormalClosure, ws.StatusGoingAway, ws.StatusNoStatusRcvd:
		return "client"
	}
	return "client_error"
}

// sendFrame queues a frame.
func (c *conn) sendFrame(f schemas.ServerFrame) { c.send(schemas.EncodeFrame(f)) }

// sendError queues an error frame. An internal error is logged here, and only
// here.
func (c *conn) sendError(e *schemas.Error, n schemas.ClientMessageID) {
	if e.Code == schemas.CodeInternal {
		c.server.log.Error("a frame failed", "error", e)
	}
	c.server.metrics.errors.WithLabelValues(string(e.Code)).Inc()
	c.sendFrame(&schemas.ErrorFrame{Code: e.Code, Message: e.Message, MessageIDByClient: n, RetryAfterMS: e.RetryAfterMS})
}

// send queues a frame, and starts the writer where none runs. It never blocks:
// a client that does not read is closed once the outbox is full. False where the
// connection is over.
func (c *conn) send(frame []byte) bool {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return false
	}
	if len(c.outbox) >= maxOutbox || c.queued+len(frame) > maxOutboxBytes {
		c.mu.Unlock()
		c.close(schemas.CloseSlow, "the client does not read")
		return false
	}
	c.outbox = append(c.outbox, frame)
	c.queued += len(frame)
	start := (!c.held || len(c.outbox) >= maxHeld) && c.startWriting()
	c.mu.Unlock()
	if start {
		go c.write()
	}
	return true
}

// roomFor says whether a session's inbox may deliver. If not, the inbox goes on once there
// is room.
func (c *conn) roomFor(s *session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued <= maxUnwritten {
		return true
	}
	c.waiting = s
	return false
}

// waitForRoom returns once few frames wait to be written; false where the
// connection is over. It is for who has many to queue.
func (c *conn) waitForRoom() bool {
	for {
		c.mu.Lock()
		if c.closing || len(c.outbox) <= maxOutbox/4 && c.queued <= maxUnwritten {
			defer c.mu.Unlock()
			return !c.closing
		}
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-c.ctx.Done():
			return false
		}
	}
}

// maxHeld is how many frames wait at most while the connection holds them.
const maxHeld = 16

// hold lets what is sent from now on wait until unhold, so that it goes out in
// one write.
func (c *conn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = true
}

func (c *conn) unhold() {
	c.mu.Lock()
	c.held = false
	start := len(c.outbox) > 0 && !c.closing && c.startWriting()
	c.mu.Unlock()
	if start {
		go c.write()
	}
}

// write flushes all queued frames in one write, then a ping if one is due, then the close
// frame if the connection is to end. It returns when the queue is empty.
func (c *conn) write() {
	defer c.wg.Done()
	for {
		c.mu.Lock()
		batch, size, ping, end := c.outbox, c.queued, c.pinging, c.ending
		c.outbox, c.pinging = nil, false
		if len(batch) == 0 && !ping {
			c.writing = false
			c.mu.Unlock()
			if end != nil {
				_ = c.socket.Close(ws.StatusCode(end.code), end.reason) // or lost, which the reader notices
			}
			return
		}
		c.mu.Unlock()
		err := c.socket.Write(batch)
		if err == nil && ping {
			err = c.socket.Ping()
		}
		if err != nil {
			c.stopWriting(err)
			return
		}
		c.wrote(size)
	}
}

// wrote makes room for those that wait for it.
func (c *conn) wrote(size int) {
	c.mu.Lock()
	c.queued -= size
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	var waiting *session
	if c.queued <= maxUnwritten/2 {
		waiting, c.waiting = c.waiting, nil
	}
	c.mu.Unlock()
	if waiting != nil {
		waiting.inbox.GoOn()
	}
}

// ping has the writer ask the client for a sign of life.
func (c *conn) ping() {
	c.mu.Lock()
	start := false
	if !c.closing {
		c.pinging = true
		start = c.startWriting()
	}
	c.mu.Unlock()
	if start {
		go c.write()
	}
}

// stopWriting ends a connection that cannot be written to. The reader notices.
func (c *conn) stopWriting(err error) {
	c.mu.Lock()
	first := !c.closing
	c.closing, c.writing, c.outbox = true, false, nil
	c.mu.Unlock()
	if first {
		reason := "lost"
		if errors.Is(err, os.ErrDeadlineExceeded) {
			reason = closeLabel(schemas.CloseSlow)
		}
		c.server.metrics.closed.WithLabelValues(reason).Inc()
	}
	c.cancel()
	c.socket.CloseTCP()
}

// close ends the connection with a code, after the frames that wait. It does
// not block and may be called repeatedly; the first call counts.
func (c *conn) close(code schemas.CloseCode, reason string) {
	if c.endWith(&ending{code, reason}) {
		c.server.metrics.closed.WithLabelValues(closeLabel(code)).Inc()
	}
}

// endWith has the writer close the connection, after the frames that wait; false if the
// connection ends already.
func (c *conn) endWith(e *ending) bool {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return false
	}
	c.closing, c.ending = true, e
	start := c.startWriting()
	c.mu.Unlock()
	c.cancel()
	if start {
		go c.write()
	}
	return true
}

// ending is how a connection shall be closed.
type ending struct {
	code   schemas.CloseCode
	reason string
}

// startWriting says whether the caller has to start the writer.
func (c *conn) startWriting() bool {
	if c.writing {
		return false
	}
	c.writing = true
	c.wg.Add(1)
	return true
}
