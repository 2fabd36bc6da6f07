package gateway

import (
	"context"
	"time"

	"roost/schemas"
	"roost/streams/cursor"
	"roost/streams/directory"
	"roost/streams/subject"
)

// greet waits for hello and answers it. It returns nil if the connection ends.
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
			continue // the client may correct it
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
		timeout.Reset(left) // the client may send another hello in the remaining time
	}
}

// noHello ends a connection whose first frame is not hello.
func (c *conn) noHello(e *schemas.Error) *session {
	c.sendError(e, 0)
	c.close(schemas.CloseProtocolError, "the first frame is hello")
	return nil
}

// closeCodeFor returns the close code after a failed hello; 0 leaves the connection open.
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
		return schemas.CloseRestarting // after which clients reconnect
	}
	return 0
}

// begin starts the session of a connection, or returns why it cannot.
func (c *conn) begin(hello *schemas.Hello) (*session, error) {
	// Not derived from c.ctx: a context that ever had a child stays larger.
	ctx, cancel := context.WithTimeout(c.server.ctx, endTimeout)
	defer cancel()
	user, err := c.authenticate(ctx, hello)
	if err != nil {
		return nil, err
	}
	if c.entry.user == "" && !c.server.conns.identify(c, user) {
		return nil, &schemas.Error{Code: schemas.CodeRateLimited, RetryAfterMS: 10_000,
			Message: "You have too many connections; close some."}
	}
	if err := cursor.Check(hello.ResumeAfter); err != nil { // before a device is registered or taken over
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
		if s.record.SessionID != "" { // the record of the device names this session, so the older connection must end
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
	if c.entry.user != "" && c.entry.user != user {
		return "", schemas.Errorf(schemas.CodeForbidden, "An earlier hello of this connection was of another user.")
	}
	return user, nil
}

// open takes the device over from older connections, subscribes, sends welcome and starts the
// inbox. After an error the caller calls end.
func (s *session) open(ctx context.Context, device schemas.Device, hello *schemas.Hello) error {
	last, _, err := s.server.streams.SendLog().Last(ctx, s.addr)
	if err != nil {
		return schemas.Unavailable(err)
	}
	s.server.streams.Clock().Observe(last.MessageID) // the clock that made it may be ahead of this one
	s.sender = newSender(s, device, last.Newest())
	_, s.rev, err = s.server.streams.Presence().Begin(ctx, s.addr, &s.record)
	if err != nil {
		return schemas.Unavailable(err)
	}
	inbox, err := s.server.consumers.Open(ctx, s.addr, s.record.SessionID, hello.ResumeAfter, s)
	if err != nil {
		return schemas.Unavailable(err)
	}
	s.inbox = inbox
	if err := s.server.hold(ctx, s.conn, s.addr.User, device); err != nil {
		return err
	}
	if err := s.conn.ctx.Err(); err != nil { // the client is gone, or the server restarts
		return schemas.Unavailable(err)
	}
	if device.Unclaimed { // last, because the device stays from here on: its inbox alone has the waiting entries
		s.unknown = false
		if err := s.server.streams.Claim(ctx, s.addr); err != nil {
			return schemas.Unavailable(err)
		}
	}
	s.server.conns.join(s)
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
	if hello.DeviceID != "" { // a new device missed nothing
		(&missedReceipts{s}).showAll(ctx)
	}
	s.server.wakeups.CatchUp(ctx, s, s.addr.User)
	s.inbox.Start()
	return nil
}

// welcome sends welcome, and then the frames that arrived since the subscription.
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

// device returns the device of a hello: the registered one that it names, or a new one. A
// device that is unclaimed has to claim the entries that wait for a first device.
func (s *Server) device(ctx context.Context, u schemas.UserID, hello *schemas.Hello) (schemas.Device, error) {
	if hello.DeviceID == "" {
		return s.devices.Register(ctx, u, hello.DeviceName, schemas.Request{})
	}
	person, err := s.directory.Registration(ctx, u)
	if err != nil {
		return schemas.Device{}, schemas.Unavailable(err)
	}
	device, ok := person.Device(hello.DeviceID)
	if !ok { // registered a moment ago at another gateway, removed, or another user's
		fresh, err := s.directory.Fresh(ctx, u)
		if err != nil {
			return device, schemas.Unavailable(err)
		}
		person = &fresh.Registration
		if device, ok = person.Device(hello.DeviceID); !ok {
			return device, notYours(person, hello.DeviceID)
		}
	}
	if now := schemas.Now(); stale(device.LastActive, now) {
		// The deactivation of idle devices compares and sets the same record: the first
		// write wins.
		addr := subject.Address{User: u, Device: hello.DeviceID}
		found, err := s.directory.ChangeDevice(ctx, addr, func(d *schemas.Device) { d.LastActive = now })
		if err != nil {
			return device, schemas.Unavailable(err)
		}
		if !found {
			fresh, err := s.directory.Fresh(ctx, u)
			if err != nil {
				return device, schemas.Unavailable(err)
			}
			return device, notYours(&fresh.Registration, hello.DeviceID)
		}
	}
	return device, nil
}

// notYours distinguishes a removed device from one of another user.
func notYours(p *directory.Registration, id schemas.DeviceID) error {
	if p.Revoked(id) {
		return errRemoved()
	}
	return schemas.Errorf(schemas.CodeForbidden, "device_id: is no device of yours. Register one with device_name.")
}
