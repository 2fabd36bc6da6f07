package clienttest

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/coder/websocket"

	"roost/schemas"
)

// session is one connection of a device. Server.mu guards its fields.
type session struct {
	ws      *websocket.Conn
	ctx     context.Context
	end     context.CancelFunc
	wake    chan struct{}         // capacity 1: the writer has frames to write
	queue   []schemas.ServerFrame // written before the next entry of the inbox
	written int                   // the sequence of the last written entry
	backlog int                   // the sequence of the last entry of the backlog; -1: inbox_drained is written
	code    schemas.CloseCode     // of the close; 0: it stays open
}

func (s *Server) socket(w http.ResponseWriter, r *http.Request) {
	s.sockets.Add(1)
	defer s.sockets.Done()
	s.mu.Lock()
	u := s.users[userOf(r)]
	s.mu.Unlock()
	if u == nil {
		w.WriteHeader(http.StatusUnauthorized)
		write(w, schemas.Answer{Status: schemas.StatusFailed,
			Error: &schemas.AnswerError{Code: schemas.CodeUnauthenticated, Message: "The token is not valid."}})
		return
	}
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = ws.CloseNow() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	k := &session{ws: ws, ctx: ctx, end: cancel, wake: make(chan struct{}, 1)}
	d := s.hello(u, k)
	if d == nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.write(d, k) })
	for {
		f, err := read(k)
		if err != nil {
			break
		}
		s.handle(d, k, f)
	}
	cancel()
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.session == k {
		d.session = nil
	}
}

func read(k *session) (schemas.ClientFrame, error) {
	_, data, err := k.ws.Read(k.ctx)
	if err != nil {
		return nil, err
	}
	f, _, e := schemas.DecodeClientFrame(data)
	if e != nil {
		_ = k.ws.Close(websocket.StatusCode(schemas.CloseProtocolError), e.Message)
		return nil, e
	}
	return f, nil
}

// hello reads the hello and makes k the session of its device, or closes k.
func (s *Server) hello(u *user, k *session) *device {
	f, err := read(k)
	if err != nil {
		return nil
	}
	hello, ok := f.(*schemas.Hello)
	if !ok {
		_ = k.ws.Close(websocket.StatusCode(schemas.CloseProtocolError), "hello comes first")
		return nil
	}
	s.mu.Lock()
	d := u.find(hello.DeviceID)
	if hello.DeviceName != "" {
		d, _ = s.register(u, hello.DeviceName)
	}
	if d == nil {
		s.mu.Unlock()
		_ = k.ws.Close(websocket.StatusCode(schemas.CloseDeviceRemoved), "the device does not exist, or the user has too many")
		return nil
	}
	defer s.mu.Unlock()
	if d.session != nil {
		d.session.close(schemas.CloseReplaced)
	}
	d.session = k
	if seq, err := strconv.Atoi(string(hello.ResumeAfter)); err == nil {
		d.remove(s, func(e entry) bool { return e.seq <= seq })
	}
	k.backlog = d.entries
	k.send(&schemas.Welcome{UserID: u.id, DeviceID: d.info.DeviceID, SessionID: schemas.SessionID(s.newID()),
		ServerTime: schemas.Now(), HeartbeatMS: 30_000, MaxInFlight: schemas.MaxInFlight,
		MaxOutstandingSends: schemas.MaxOutstanding, LastMessageIDByClient: d.last})
	return d
}

func cursorAt(seq int) schemas.Cursor { return schemas.Cursor(strconv.Itoa(seq)) }

// handle handles one frame.
func (s *Server) handle(d *device, k *session, f schemas.ClientFrame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.ctx.Err() != nil || d.session != k {
		return
	}
	switch f := f.(type) {
	case *schemas.SendMessage:
		s.send(d, k, f.Draft())
	case *schemas.UpdateMessage:
		s.send(d, k, f.Draft())
	case *schemas.DeliveredAck:
		if !s.breaks(BeforeRemoval, k) {
			d.remove(s, func(e entry) bool { return e.message.MessageID == f.MessageID })
		}
	case *schemas.Ack:
		seq, err := strconv.Atoi(string(f.Cursor))
		if err == nil && !s.breaks(BeforeRemoval, k) {
			d.remove(s, func(e entry) bool { return e.seq <= seq })
		}
	}
	k.wakeWriter()
}

func (s *Server) breaks(p Point, k *session) bool {
	if s.Fault == nil || !s.Fault(p) {
		return false
	}
	k.end()
	return true
}

// send stores a message or update once, in all target inboxes.
func (s *Server) send(from *device, k *session, m schemas.Message) {
	if s.breaks(BeforeStore, k) {
		return
	}
	fail := func(code schemas.Code, message string) {
		k.send(&schemas.ErrorFrame{Code: code, Message: message, MessageIDByClient: m.MessageIDByClient})
	}
	record, known := from.sent[m.MessageIDByClient]
	to := s.users[m.ReceiverID]
	switch {
	case known && record.hash != m.Hash():
		fail(schemas.CodeConflict, "This number was used for another message.")
		return
	case !known && to == nil:
		fail(schemas.CodeUnknownReceiver, "This user does not exist.")
		return
	case !known && m.Change.Window() > 0 && s.sent[m.TargetMessageID] != from.user.id:
		fail(schemas.CodeForbidden, "Only the sender of a message may change it.")
		return
	case !known:
		record = sent{m.Hash(), s.store(from, to, m)}
		from.sent[m.MessageIDByClient] = record
		from.last = max(from.last, m.MessageIDByClient)
	}
	if !s.breaks(BeforeReceived, k) {
		k.send(&record.answer)
	}
}

func (s *Server) store(from *device, to *user, m schemas.Message) schemas.MessageReceived {
	m.MessageID, m.Timestamp = schemas.MessageID(s.newID()), schemas.Now()
	m.SenderID, m.SenderDeviceID = from.user.id, from.info.DeviceID
	if s.sent == nil {
		s.sent = make(map[schemas.MessageID]schemas.UserID)
	}
	s.sent[m.MessageID] = m.SenderID
	targets := slices.Clone(from.user.devices)
	if to != from.user {
		targets = append(targets, to.devices...)
	}
	for _, d := range targets {
		if d == from {
			continue
		}
		d.entries++
		d.inbox = append(d.inbox, entry{d.entries, m})
		if d.session != nil {
			d.session.wakeWriter()
		}
	}
	return schemas.MessageReceived{MessageID: m.MessageID, MessageIDByClient: m.MessageIDByClient, Timestamp: m.Timestamp}
}

// remove removes acknowledged entries and sends message_delivered to their senders.
func (d *device) remove(s *Server, acknowledged func(entry) bool) {
	d.inbox = slices.DeleteFunc(d.inbox, func(e entry) bool {
		if !acknowledged(e) {
			return false
		}
		if sender := s.users[e.message.SenderID]; sender != nil && sender != d.user {
			for _, to := range sender.devices {
				if to.session != nil {
					to.session.send(&schemas.Delivered{MessageID: e.message.MessageID, UserID: d.user.id, Timestamp: schemas.Now()})
				}
			}
		}
		return true
	})
}

func (k *session) send(f schemas.ServerFrame) {
	k.queue = append(k.queue, f)
	k.wakeWriter()
}

func (k *session) close(code schemas.CloseCode) {
	k.code = code
	k.wakeWriter()
}

func (k *session) wakeWriter() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// write writes the frames for the device until the connection ends.
func (s *Server) write(d *device, k *session) {
	for {
		frames, code := s.next(d, k)
		for _, f := range frames {
			if err := k.ws.Write(k.ctx, websocket.MessageText, schemas.EncodeFrame(f)); err != nil {
				k.end()
				return
			}
		}
		if code != 0 {
			_ = k.ws.Close(websocket.StatusCode(code), "")
			k.end()
			return
		}
		if len(frames) > 0 {
			continue
		}
		select {
		case <-k.wake:
		case <-k.ctx.Done():
			return
		}
	}
}

// next returns the frames to write to k: first the queue, then the inbox.
func (s *Server) next(d *device, k *session) (frames []schemas.ServerFrame, code schemas.CloseCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	frames, k.queue = k.queue, nil
	for _, e := range d.inbox {
		if d.session != k || e.seq <= k.written {
			continue
		}
		if s.breaks(BeforeIncoming, k) {
			return frames, k.code
		}
		if e.seq > k.backlog {
			frames = k.drained(frames)
		}
		k.written = e.seq
		incoming := schemas.Incoming{Message: e.message, Cursor: cursorAt(e.seq)}
		if e.message.IsUpdate() {
			frames = append(frames, &schemas.MessageUpdate{Incoming: incoming})
		} else {
			frames = append(frames, &incoming)
		}
	}
	return k.drained(frames), k.code
}

// drained appends inbox_drained, once.
func (k *session) drained(frames []schemas.ServerFrame) []schemas.ServerFrame {
	if k.backlog < 0 {
		return frames
	}
	frames = append(frames, &schemas.InboxDrained{Cursor: cursorAt(k.backlog)})
	k.backlog = -1
	return frames
}
