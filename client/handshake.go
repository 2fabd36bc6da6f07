package client

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"roost/schemas"
)

// open dials, sends hello and waits for welcome.
func (r *runner) open(ctx context.Context) (*connection, error) {
	opts := &r.c.opts
	ctx, cancel := context.WithTimeout(ctx, opts.HandshakeTimeout)
	defer cancel()
	if r.token == "" {
		token, err := opts.TokenSource(ctx)
		if err != nil {
			return nil, fmt.Errorf("failed to get a token: %w", err)
		}
		r.token, r.tokenFresh = token, true
	}
	ws, resp, err := websocket.Dial(ctx, r.c.socket, &websocket.DialOptions{
		HTTPClient: opts.HTTPClient,
		HTTPHeader: http.Header{"Authorization": {"Bearer " + r.token}},
	})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, answerError(resp)
		}
		return nil, err
	}
	ws.SetReadLimit(readLimit)
	welcome, err := r.hello(ctx, ws)
	if err != nil {
		_ = ws.CloseNow()
		return nil, err
	}
	return r.welcomed(ctx, ws, welcome)
}

// hello sends the hello of the device and reads until the welcome. If the server sends an
// error frame instead, hello returns it as the error.
func (r *runner) hello(ctx context.Context, ws *websocket.Conn) (*schemas.Welcome, error) {
	c := r.c
	c.mu.Lock()
	hello := schemas.Hello{DeviceID: c.device, ResumeAfter: c.inbox.resume()}
	c.mu.Unlock()
	if r.freshStart {
		hello.ResumeAfter = ""
	}
	if hello.DeviceID == "" {
		hello.DeviceName = c.opts.DeviceName
	}
	if err := ws.Write(ctx, websocket.MessageText, schemas.EncodeFrame(&hello)); err != nil {
		return nil, err
	}
	for {
		_, data, err := ws.Read(ctx)
		if err = closeError(err); isTooBig(err) {
			return nil, r.helloTooBig(&hello, err)
		}
		if err != nil {
			return nil, err
		}
		frame, err := decodeFrame(data, c.log)
		if err != nil {
			return nil, err
		}
		switch f := frame.(type) {
		case *schemas.Welcome:
			return f, nil
		case *schemas.ErrorFrame:
			return nil, frameError(f)
		}
	}
}

// welcomed begins the connection. It returns before the first goroutine of the connection
// starts.
func (r *runner) welcomed(ctx context.Context, ws *websocket.Conn, welcome *schemas.Welcome) (*connection, error) {
	r.tokenFresh = false
	c := r.c
	c.mu.Lock()
	c.conn++
	c.welcome, c.online = *welcome, true
	if c.device != welcome.DeviceID {
		c.device = welcome.DeviceID
		c.version++
	}
	c.outbox.last = max(c.outbox.last, welcome.LastMessageIDByClient)
	if welcome.MaxOutstandingSends > 0 {
		c.outbox.window = schemas.ClientMessageID(welcome.MaxOutstandingSends)
	}
	k := &connection{c: c, ws: ws, number: c.conn, heartbeat: defaultHeartbeat,
		reconnect: make(chan time.Duration, 1), leave: make(chan struct{})}
	c.mu.Unlock()
	if welcome.HeartbeatMS > 0 {
		k.heartbeat = time.Duration(welcome.HeartbeatMS) * time.Millisecond
	}
	// Without this save, a crash would lose the id of a new device, and the next start
	// would register another one.
	if err := c.save(); err != nil {
		_ = ws.CloseNow()
		return nil, fmt.Errorf("%w: %w", errStore, err)
	}
	if !r.push(ctx, Connected{*welcome}) {
		_ = ws.CloseNow()
		return nil, fmt.Errorf("the queue of events is full, and the application does not call Receive: %w", ctx.Err())
	}
	select {
	case <-c.ready:
	default:
		close(c.ready)
	}
	return k, nil
}

// decodeFrame returns nil for a frame of an unknown type, which is for newer clients. A
// malformed frame ends the connection: if the client skipped a message, its next cursor
// would acknowledge that message.
func decodeFrame(data []byte, log *slog.Logger) (schemas.ServerFrame, error) {
	frame, err := schemas.DecodeServerFrame(data)
	if Code(err) == schemas.CodeUnknownType {
		log.Debug("skipped a frame of an unknown type", "error", err)
		return nil, nil
	}
	if err != nil {
		// Not wrapped: the error is not a refusal by the server.
		return nil, fmt.Errorf("the server sent a malformed frame: %v", err)
	}
	return frame, nil
}
