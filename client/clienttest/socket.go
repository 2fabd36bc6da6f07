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

// session is one connection of a device. Its fields are guarded by Server.mu.
type session struct {
	ws     *websocket.Conn
	ctx    context.Context
	end    context.CancelFunc
	wake   chan struct{}         // 1 long: the writer has something to do
	queue  []schemas.ServerFrame // goes out before the next of the inbox
	shown  int                   // place in the inbox up to which it was written
	behind int                   // place up to which the backlog goes; -1: it was written
	code   schemas.CloseCode     // to close with; 0: not yet
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

// hello makes k the session of its device, or closes it.
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
		_ = k.ws.Close(websocket.StatusCode(schemas.CloseDeviceRemoved), "there is no such device, or no room for one")
		return nil
	}
	defer s.mu.Unlock()
	if d.session != nil {
		d.session.close(schemas.CloseReplaced)
	}
	d.session = k
	if place, err := strconv.Atoi(string(hello.ResumeAfter)); err == nil {
		d.forget(s, func(e entry) bool { return e.place <= place })
	}
	k.behind = d.places
	k.say(&schemas.Welcome{UserID: u.id, DeviceID: d.info.DeviceID, SessionID: schemas.SessionID(s.newID()),
		ServerTime: schemas.Now(), HeartbeatMS: 30_000, MaxInFlight: schemas.MaxInFlight,
		MaxOutstandingSends: schemas.MaxOutstanding, LastMessageIDByClient: d.last})
	return d
}

func cursorAt(place int) schemas.Cursor { return schemas.Cursor(strconv.Itoa(place)) }

// handle does what one frame asks.
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
		if !s.breaks(BeforeForgotten, k) {
			d.forget(s, func(e entry) bool { return e.message.MessageID == f.MessageID })
		}
	case *schemas.Ack:
		place, err := strconv.Atoi(string(f.Cursor))
		if err == nil && !s.breaks(BeforeForgotten, k) {
			d.forget(s, func(e entry) bool { return e.place <= place })
		}
	}
	k.rouse()
}

func (s *Server) breaks(p Point, k *session) bool {
	if s.Fault == nil || !s.Fault(p) {
		return false
	}
	k.end()
	return true
}

// send stores a message, or update, in all inboxes it is meant for, once.
func (s *Server) send(from *device, k *session, m schemas.Message) {
	if s.breaks(BeforeStore, k) {
		return
	}
	fail := func(code schemas.Code, message string) {
		k.say(&schemas.ErrorFrame{Code: code, Message: message, MessageIDByClient: m.MessageIDByClient})
	}
	record, known := from.sent[m.MessageIDByClient]
	to := s.users[m.ReceiverID]
	switch {
	case known && record.hash != m.Hash():
		fail(schemas.CodeConflict, "That number has another content.")
		return
	case !known && to == nil:
		fail(schemas.CodeUnknownReceiver, "There is no such user.")
		return
	case !known && m.Change.Window() > 0 && s.sent[m.TargetMessageID] != from.user.id:
		fail(schemas.CodeForbidden, "That message is of somebody else.")
		return
	case !known:
		record = sent{m.Hash(), s.store(from, to, m)}
		from.sent[m.MessageIDByClient] = record
		from.last = max(from.last, m.MessageIDByClient)
	}
	if !s.breaks(BeforeReceived, k) {
		k.say(&record.answer)
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
		d.places++
		d.inbox = append(d.inbox, entry{d.places, m})
		if d.session != nil {
			d.session.rouse()
		}
	}
	return schemas.MessageReceived{MessageID: m.MessageID, MessageIDByClient: m.MessageIDByClient, Timestamp: m.Timestamp}
}

// forget removes acknowledged entries and tells their senders.
func (d *device) forget(s *Server, acknowledged func(entry) bool) {
	d.inbox = slices.DeleteFunc(d.inbox, func(e entry) bool {
		if !acknowledged(e) {
			return false
		}
		if sender := s.users[e.message.SenderID]; sender != nil && sender != d.user {
			for _, to := range sender.devices {
				if to.session != nil {
					to.session.say(&schemas.Delivered{MessageID: e.message.MessageID, UserID: d.user.id, Timestamp: schemas.Now()})
				}
			}
		}
		return true
	})
}

func (k *session) say(f schemas.ServerFrame) {
	k.queue = append(k.queue, f)
	k.rouse()
}

func (k *session) close(code schemas.CloseCode) {
	k.code = code
	k.rouse()
}

func (k *session) rouse() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// write writes what waits for the device until the connection ends.
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

// next is what there is to write to k: answers first, then the inbox.
func (s *Server) next(d *device, k *session) (frames []schemas.ServerFrame, code schemas.CloseCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	frames, k.queue = k.queue, nil
	for _, e := range d.inbox {
		if d.session != k || e.place <= k.shown {
			continue
		}
		if s.breaks(BeforeIncoming, k) {
			return frames, k.code
		}
		if e.place > k.behind {
			frames = k.drained(frames)
		}
		k.shown = e.place
		incoming := schemas.Incoming{Message: e.message, Cursor: cursorAt(e.place)}
		if e.message.IsUpdate() {
			frames = append(frames, &schemas.MessageUpdate{Incoming: incoming})
		} else {
			frames = append(frames, &incoming)
		}
	}
	return k.drained(frames), k.code
}

// drained adds inbox_drained, once.
func (k *session) drained(frames []schemas.ServerFrame) []schemas.ServerFrame {
	if k.behind < 0 {
		return frames
	}
	frames = append(frames, &schemas.InboxDrained{Cursor: cursorAt(k.behind)})
	k.behind = -1
	return frames
}
