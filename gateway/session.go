package gateway

import (
	"bytes"
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"roost/gateway/wakeups"
	"roost/schemas"
	"roost/streams/inbox"
	"roost/streams/subject"
)

// session is a connection after its hello: one device of one user.
type session struct {
	// Static after greet.
	conn   *conn
	server *Server
	addr   subject.Address
	record schemas.Session
	rev    uint64 // of the session's record; 0 if NATS did not answer when the session began
	inbox  inbox.Consumer
	sender *sender
	// unknown is true while the client does not know the device that this hello registered.
	// The device can still be taken back.
	unknown bool

	recent *recent // owned by the reader; nil without recent acknowledgements
	typing *typing // owned by the reader; nil without recent typing
	// subscribes limits presence_subscribe. It is owned by the reader, and nil before the first.
	subscribes *rate.Limiter

	mu       sync.Mutex // guards the rest
	welcomed bool
	early    [][]byte // frames from before welcome, at most maxOutbox; more are dropped, and the watermark makes them good
}

// endTimeout bounds the begin and the end of a session.
const endTimeout = 5 * time.Second

// handlers is the dispatch table. doc.go names the file of each verb.
var handlers = map[schemas.FrameType]func(*session, schemas.ClientFrame){
	schemas.TypeSendMessage:      func(s *session, f schemas.ClientFrame) { s.sender.send(f.(schemas.Send)) },
	schemas.TypeUpdateMessage:    func(s *session, f schemas.ClientFrame) { s.sender.send(f.(schemas.Send)) },
	schemas.TypeMessageDelivered: func(s *session, f schemas.ClientFrame) { s.messageDelivered(f.(*schemas.DeliveredAck)) },
	schemas.TypeMessageRead:      func(s *session, f schemas.ClientFrame) { s.messageRead(f.(*schemas.Read)) },
	schemas.TypeTyping:           func(s *session, f schemas.ClientFrame) { s.typingNotice(f.(*schemas.TypingNotice)) },
	schemas.TypePresenceSubscribe: func(s *session, f schemas.ClientFrame) {
		s.presenceSubscribe(f.(*schemas.PresenceSubscribe))
	},
	schemas.TypeAck:       func(s *session, f schemas.ClientFrame) { s.ack(f.(*schemas.Ack)) },
	schemas.TypeHeartbeat: func(s *session, _ schemas.ClientFrame) { s.beat() },
}

// heartbeat is the form in which clients usually write a heartbeat, and the gateway's answer.
const heartbeat = `{"type":"heartbeat"}`

var heartbeatFrame = []byte(heartbeat)

// beat answers a heartbeat. So a client that cannot ping, such as a web page, notices a dead
// connection.
func (s *session) beat() { s.conn.send(heartbeatFrame) }

// handle decodes a frame and calls its verb.
func (s *session) handle(data []byte) {
	if string(data) == heartbeat { // decoding would grow the stack of an idle connection
		s.server.metrics.heartbeats.Inc()
		s.tidy()
		s.beat()
		return
	}
	frame, number, e := schemas.DecodeClientFrame(data)
	if e != nil {
		s.conn.sendError(e, number)
		return
	}
	s.server.metrics.frames.WithLabelValues(string(frame.Type())).Inc()
	do, ok := handlers[frame.Type()]
	switch {
	case ok:
		do(s, frame)
	case frame.Type() == schemas.TypeHello:
		s.conn.sendError(schemas.Errorf(schemas.CodeBadFrame, "The connection has a hello already; a connection is one device."), 0)
	default:
		s.conn.sendError(schemas.Errorf(schemas.CodeUnknownType, "type: this server does not offer %s.", frame.Type()), 0)
	}
}

// tidy frees what an idle connection does not need.
func (s *session) tidy() {
	if s.recent == nil && s.typing == nil {
		return
	}
	now := time.Now()
	if s.recent != nil && s.recent.over(now) {
		s.recent = nil
	}
	if s.typing != nil && s.typing.over(now) {
		s.typing = nil
	}
}

// end cleans up: it removes acknowledged entries, makes read marks durable, records when the
// session ended, and removes a device that its client does not know.
func (s *session) end() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.conn.ctx), endTimeout)
	defer cancel()
	s.server.presence.Leave(s)
	if s.inbox != nil {
		s.inbox.Close(ctx)
	}
	if err := s.server.reads.flush(ctx, s.addr.User); err != nil {
		s.server.log.Warn("read marks were not written; this is retried", "error", err)
	}
	s.recordEnd(ctx)
	if s.unknown {
		s.server.devices.TakeBack(ctx, s.addr)
	}
}

// recordEnd records the session's end and publishes it, unless a newer session has the device.
// The retry queue repeats it if it fails.
func (s *session) recordEnd(ctx context.Context) {
	if s.record.SessionID == "" {
		return // it was never on record
	}
	on, addr, ended, event := s.server.streams, s.addr, s.record, s.event(false)
	ended.EndedAt = event.Timestamp
	finish := func(ctx context.Context) error {
		current, err := on.Presence().EndLate(ctx, addr, ended)
		if current {
			on.Bus().PublishSession(event) // a gateway that read the record meanwhile shows the user as online
		}
		return err
	}
	var err error
	if s.rev == 0 {
		err = finish(ctx)
	} else {
		var current bool
		if current, err = on.Presence().End(ctx, addr, ended, s.rev); current {
			on.Bus().PublishSession(event)
		}
	}
	if err != nil {
		s.server.log.Warn("a session's end was not recorded; this is retried", "error", err)
		s.server.retries.add(finish)
	}
}

func (s *session) announce(online bool) { s.server.streams.Bus().PublishSession(s.event(online)) }

func (s *session) event(online bool) schemas.SessionEvent {
	return schemas.SessionEvent{UserID: s.addr.User, DeviceID: s.addr.Device,
		SessionID: s.record.SessionID, Gateway: s.record.Gateway, Online: online, Timestamp: schemas.Now()}
}

var _ inbox.Sink = (*session)(nil)

// Deliver implements [inbox.Sink].
func (s *session) Deliver(entry []byte, cursor schemas.Cursor) {
	const suffix = len(`,"cursor":""}`)
	if bytes.HasPrefix(entry, groupUpdate) {
		s.server.noteGroupUpdate(entry)
	}
	s.conn.send(schemas.AppendCursor(make([]byte, 0, len(entry)+len(cursor)+suffix), entry, cursor))
	s.server.metrics.delivered.Inc()
}

// Room implements [inbox.Sink].
func (s *session) Room() bool { return s.conn.roomFor(s) }

var _ wakeups.Device = (*session)(nil)

// Wake implements [wakeups.Device].
func (s *session) Wake(frame []byte) { s.Frame(frame) }

// Drained implements [inbox.Sink].
func (s *session) Drained(cursor schemas.Cursor) {
	s.conn.sendFrame(&schemas.InboxDrained{Cursor: cursor})
}

// Frame implements [inbox.Sink].
func (s *session) Frame(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.welcomed:
		s.conn.send(frame)
	case len(s.early) < maxOutbox:
		s.early = append(s.early, frame)
	}
}

// End implements [inbox.Sink].
func (s *session) End(reason inbox.EndReason) {
	switch reason {
	case inbox.EndReplaced:
		s.conn.close(schemas.CloseReplaced, "a newer connection of this device took over")
	case inbox.EndRemoved:
		s.conn.closeRemoved()
	default:
		s.conn.close(schemas.CloseSlow, "a message was not acknowledged in time")
	}
}
