package gateway

import (
	"bytes"
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"roost/gateway/wakeups"
	"roost/schemas"
	"roost/streams"
	"roost/streams/cursor"
	"roost/streams/subject"
)

// session is a connection after its hello: one device of one user.
type session struct {
	// Static after greet.
	conn   *conn
	server *Server
	addr   subject.Address
	record schemas.Session
	rev    uint64 // of the session's record; 0 where its begin had no answer
	inbox  streams.Inbox
	sender *sender
	// unknown says that this hello has registered the device, and its client does not know
	// of it yet: it may be taken back.
	unknown bool

	recent *recent // of the reader; nil while nothing was acknowledged lately
	typing *typing // of the reader; nil while nothing was typed lately
	// subscribes limits presence_subscribe; nil before the first, of the reader.
	subscribes *rate.Limiter

	mu       sync.Mutex // guards the rest
	welcomed bool
	early    [][]byte // frames from before welcome, at most maxOutbox; more are dropped: the watermark tells
}

// endTimeout bounds what a session leaves in order: its inbox and its record.
const endTimeout = 5 * time.Second

// handlers is the dispatch table: one verb, one file.
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

// heartbeat is how clients write the frame that an idle connection gets, and how the
// gateway answers it.
const heartbeat = `{"type":"heartbeat"}`

var heartbeatFrame = []byte(heartbeat)

// beat answers a heartbeat, so that a client that cannot ping, as a web page, notices a
// dead connection.
func (s *session) beat() { s.conn.send(heartbeatFrame) }

// handle does what one frame asks for.
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
		s.conn.sendError(schemas.Errorf(schemas.CodeBadFrame, "hello was said already; a connection is one device."), 0)
	default:
		s.conn.sendError(schemas.Errorf(schemas.CodeUnknownType, "type: this server does not offer %s.", frame.Type()), 0)
	}
}

// tidy gives back what an idle connection does not need.
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

// greet waits for hello and answers it; nil where the connection is over.
func (c *conn) greet() *session {
	left, since := c.server.opts.HelloTimeout, time.Now()
	timeout := time.AfterFunc(left, func() {
		c.close(schemas.CloseHelloTimeout, "no hello in time")
	})
	defer timeout.Stop()
	for {
		data, text, ok := c.readFrame()
		if !ok {
			return nil
		}
		if !text {
			return c.noHello(errBinary())
		}
		frame, _, e := schemas.DecodeClientFrame(data)
		if e != nil && schemas.IsHello(data) {
			c.sendError(e, 0)
			continue // it may be corrected
		}
		if e != nil {
			return c.noHello(e)
		}
		hello, ok := frame.(*schemas.Hello)
		if !ok {
			return c.noHello(schemas.Errorf(schemas.CodeBadFrame, "The first frame is hello, not %s.", frame.Type()))
		}
		if !timeout.Stop() {
			return nil
		}
		left -= time.Since(since)
		session, err := c.begin(hello)
		if err == nil {
			return session
		}
		told := schemas.AsError(err)
		c.sendError(told, 0)
		if code := closeCodeFor(told.Code); code != 0 {
			c.close(code, told.Message)
			return nil
		}
		since = time.Now()
		timeout.Reset(left) // another hello may follow, in the time that is left of the client's
	}
}

// noHello ends a connection whose first frame was another.
func (c *conn) noHello(e *schemas.Error) *session {
	c.sendError(e, 0)
	c.close(schemas.CloseProtocolError, "the first frame is hello")
	return nil
}

// closeCodeFor is how a failed hello ends the connection; 0 leaves it open.
func closeCodeFor(code schemas.Code) schemas.CloseCode {
	switch code {
	case schemas.CodeUnauthenticated:
		return schemas.CloseUnauthenticated
	case schemas.CodeForbidden:
		return schemas.CloseForbidden
	case schemas.CodeDeviceRemoved:
		return schemas.CloseDeviceRemoved
	case schemas.CodeRateLimited:
		return schemas.CloseRateLimited
	case schemas.CodeUnavailable, schemas.CodeInternal:
		return schemas.CloseRestarting // which clients answer by trying again
	}
	return 0
}

// begin makes a session of a connection, or says why not.
func (c *conn) begin(hello *schemas.Hello) (*session, error) {
	// Not of c.ctx: a context that ever had another below it stays larger.
	ctx, cancel := context.WithTimeout(c.server.ctx, endTimeout)
	defer cancel()
	user, err := c.authenticate(ctx, hello)
	if err != nil {
		return nil, err
	}
	if c.countedUser == "" && !c.server.identify(c, user) {
		return nil, &schemas.Error{Code: schemas.CodeRateLimited, RetryAfterMS: 10_000,
			Message: "You have too many connections; close some."}
	}
	if err := cursor.Check(hello.ResumeAfter); err != nil { // before anything is registered, or taken over
		return nil, schemas.InvalidField("resume_after", "%v.", err)
	}
	device, err := c.server.device(ctx, user, hello)
	if err != nil {
		return nil, err
	}
	s := &session{conn: c, server: c.server, addr: subject.Address{User: user, Device: device.DeviceID}}
	s.unknown = hello.DeviceID == ""
	s.record = schemas.Session{Gateway: c.server.opts.Name, ConnectedAt: schemas.Now(), ReceiptsFrom: device.LastActive}
	if err := s.open(ctx, device, hello); err != nil {
		if s.record.SessionID != "" { // the device's record is not of an older connection any more
			s.server.streams.Bus().PublishReplaced(s.addr, s.record.SessionID)
		}
		s.end()
		return nil, err
	}
	return s, nil
}

func (c *conn) authenticate(ctx context.Context, hello *schemas.Hello) (schemas.UserID, error) {
	token := hello.Token
	if token == "" {
		token = c.bearer
	}
	user, err := c.server.gate.Admit(ctx, token)
	if err != nil {
		return "", err
	}
	if c.countedUser != "" && c.countedUser != user {
		return "", schemas.Errorf(schemas.CodeForbidden, "An earlier hello of this connection was of another user.")
	}
	return user, nil
}

// open takes the device over from older connections, subscribes, says welcome and
// lets the inbox go. Where it fails, end has to follow.
func (s *session) open(ctx context.Context, device schemas.Device, hello *schemas.Hello) error {
	last, _, err := s.server.streams.SendLog().Last(ctx, s.addr)
	if err != nil {
		return schemas.Unavailable(err)
	}
	s.server.streams.Clock().Observe(last.MessageID) // perhaps made by a clock that is ahead of this one's
	s.sender = newSender(s, last.Newest())
	_, s.rev, err = s.server.streams.Presence().Begin(ctx, s.addr, &s.record)
	if err != nil {
		return schemas.Unavailable(err)
	}
	inbox, err := s.server.consumers.Open(ctx, s.addr, s.record.SessionID, hello.ResumeAfter, s)
	if err != nil {
		return schemas.Unavailable(err)
	}
	s.inbox = inbox
	if err := s.server.hold(ctx, s.conn, s.addr, device); err != nil {
		return err
	}
	if err := s.conn.ctx.Err(); err != nil { // the client is gone, or the server restarts
		return schemas.Unavailable(err)
	}
	if device.Unclaimed { // last, for the device stays from here on: what waited is in its inbox alone
		s.unknown = false
		if err := s.server.streams.Claim(ctx, s.addr); err != nil {
			return schemas.Unavailable(err)
		}
	}
	s.server.join(s)
	s.server.streams.Bus().PublishReplaced(s.addr, s.record.SessionID)
	s.announce(true)
	s.conn.hold()
	defer s.conn.unhold()
	s.welcome(&schemas.Welcome{
		UserID: s.addr.User, DeviceID: s.addr.Device, SessionID: s.record.SessionID,
		ServerTime: schemas.Now(), HeartbeatMS: s.server.opts.Heartbeat.Milliseconds(),
		MaxInFlight: schemas.MaxInFlight, MaxOutstandingSends: schemas.MaxOutstanding,
		LastMessageIDByClient: last.Newest(),
	})
	if hello.DeviceID != "" { // a new device was never away
		s.sendReceipts(ctx)
	}
	s.server.wakeups.CatchUp(ctx, s, s.addr.User)
	s.inbox.Start()
	return nil
}

// welcome says so, and then what came since the subscription.
func (s *session) welcome(f *schemas.Welcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn.send(schemas.EncodeFrame(f)) {
		s.unknown = false
	}
	for _, frame := range s.early {
		s.conn.send(frame)
	}
	s.welcomed, s.early = true, nil
}

// end leaves everything in order: acknowledged messages are removed, what was
// read is durable, the record says since when the device is away, and a device that
// nobody knows of is gone.
func (s *session) end() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.conn.ctx), endTimeout)
	defer cancel()
	s.server.presence.Leave(s)
	if s.inbox != nil {
		s.inbox.Close(ctx)
	}
	if err := s.server.reads.flush(ctx, s.addr.User); err != nil {
		s.server.log.Warn("what was read is not written yet; it is tried again", "error", err)
	}
	s.recordEnd(ctx)
	if s.unknown {
		s.server.devices.TakeBack(ctx, s.addr)
	}
}

// recordEnd has the session's end on record, and tells, unless a newer session has the
// device. What fails is tried again later.
func (s *session) recordEnd(ctx context.Context) {
	if s.record.SessionID == "" {
		return // it never was on record
	}
	on, addr, ended, event := s.server.streams, s.addr, s.record, s.event(false)
	ended.EndedAt = event.Timestamp
	finish := func(ctx context.Context) error {
		current, err := on.Presence().EndLate(ctx, addr, ended)
		if current {
			on.Bus().PublishSession(event) // who read the record in between would go by it
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
		s.server.log.Warn("a session's end was not recorded; it is tried again", "error", err)
		s.server.later.add(finish)
	}
}

func (s *session) announce(online bool) { s.server.streams.Bus().PublishSession(s.event(online)) }

func (s *session) event(online bool) schemas.SessionEvent {
	return schemas.SessionEvent{UserID: s.addr.User, DeviceID: s.addr.Device,
		SessionID: s.record.SessionID, Gateway: s.record.Gateway, Online: online, Timestamp: schemas.Now()}
}

var _ streams.Sink = (*session)(nil)

// Deliver implements [streams.Sink].
func (s *session) Deliver(entry []byte, cursor schemas.Cursor) {
	const suffix = len(`,"cursor":""}`)
	if bytes.HasPrefix(entry, groupUpdate) {
		s.server.heardOf(entry)
	}
	s.conn.send(schemas.AppendCursor(make([]byte, 0, len(entry)+len(cursor)+suffix), entry, cursor))
	s.server.metrics.delivered.Inc()
}

// Room implements [streams.Sink].
func (s *session) Room() bool { return s.conn.roomFor(s) }

var _ wakeups.Device = (*session)(nil)

// Wake implements [wakeups.Device].
func (s *session) Wake(frame []byte) { s.Frame(frame) }

// Drained implements [streams.Sink].
func (s *session) Drained(cursor schemas.Cursor) {
	s.conn.sendFrame(&schemas.InboxDrained{Cursor: cursor})
}

// Frame implements [streams.Sink].
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

// End implements [streams.Sink].
func (s *session) End(reason streams.EndReason) {
	switch reason {
	case streams.EndReplaced:
		s.conn.close(schemas.CloseReplaced, "a newer connection of this device took over")
	case streams.EndRemoved:
		s.conn.closeRemoved()
	default:
		s.conn.close(schemas.CloseSlow, "a message was not acknowledged in time")
	}
}
