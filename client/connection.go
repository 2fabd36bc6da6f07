package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"roost/schemas"
)

const (
	readLimit        = 4 * schemas.MaxFrameBytes // of one frame: a server of another version may say more
	goodbyeTime      = time.Second               // for each half of a close: what waits to be written, and the handshake
	defaultHeartbeat = 30 * time.Second
	pongTimeout      = 10 * time.Second // of a server that has nothing else to do
)

// errReconnect ends a connection that the server asked to leave.
var errReconnect = errors.New("the server asked to reconnect")

// connection is one WebSocket, from its welcome to its end.
type connection struct {
	c         *Client
	ws        *websocket.Conn
	number    int
	heartbeat time.Duration

	reconnect chan time.Duration // 1 long; written by the reader, read by serve; a second request is dropped
	leave     chan struct{}      // closed by serve: the writer writes what waits, and returns; the reader shows only what has room
	stalled   atomic.Bool        // the reader waits for room in the queue, and reads no pong
	heard     atomic.Int64       // frames read
	dropping  bool               // owned by the reader: something had no room
	largest   int                // owned by the writer: bytes of the largest frame that it wrote; read after the end
}

// open dials, says hello and waits for welcome.
func (c *Client) open(ctx context.Context) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.HandshakeTimeout)
	defer cancel()
	if c.token == "" {
		token, err := c.opts.TokenSource(ctx)
		if err != nil {
			return nil, fmt.Errorf("failed to get a token: %w", err)
		}
		c.token, c.tokenFresh = token, true
	}
	ws, resp, err := websocket.Dial(ctx, c.socket, &websocket.DialOptions{
		HTTPClient: c.opts.HTTPClient,
		HTTPHeader: http.Header{"Authorization": {"Bearer " + c.token}},
	})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, answerError(resp)
		}
		return nil, err
	}
	ws.SetReadLimit(readLimit)
	welcome, err := c.hello(ctx, ws)
	if err != nil {
		_ = ws.CloseNow()
		return nil, err
	}
	return c.welcomed(ctx, ws, welcome)
}

// hello introduces the device. A complaint instead of the welcome is returned
// as it is; the connection is of no use then.
func (c *Client) hello(ctx context.Context, ws *websocket.Conn) (*schemas.Welcome, error) {
	c.mu.Lock()
	hello := schemas.Hello{DeviceID: c.device, ResumeAfter: c.inbox.resume()}
	c.mu.Unlock()
	if c.freshStart {
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
			return nil, c.helloTooBig(&hello, err)
		}
		if err != nil {
			return nil, err
		}
		frame, err := c.decode(data)
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

// welcomed begins the connection, before its first goroutine.
func (c *Client) welcomed(ctx context.Context, ws *websocket.Conn, welcome *schemas.Welcome) (*connection, error) {
	c.tokenFresh = false
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
	// A device that is registered and not remembered would be registered again.
	if err := c.save(); err != nil {
		_ = ws.CloseNow()
		return nil, fmt.Errorf("%w: %w", errStore, err)
	}
	if !c.push(ctx, Connected{*welcome}) {
		_ = ws.CloseNow()
		return nil, fmt.Errorf("the queue is full, nobody receives: %w", ctx.Err())
	}
	select {
	case <-c.ready:
	default:
		close(c.ready)
	}
	return k, nil
}

// serve runs the connection until it ends or life does. It returns why it ended
// and, where the server said so, when to connect again.
func (k *connection) serve(life context.Context) (notBefore time.Time, err error) {
	// The socket outlives life for the time that a good-bye takes.
	ctx, cancel := context.WithCancel(context.WithoutCancel(life))
	var wg sync.WaitGroup
	defer func() {
		cancel()
		_ = k.ws.CloseNow()
		wg.Wait()
		select {
		case after := <-k.reconnect: // the reader's last frame before the end
			notBefore = time.Now().Add(after)
		default:
		}
	}()

	readEnded, writeEnded := make(chan error, 1), make(chan error, 1)
	pulseEnded := make(chan error, 1)
	wg.Go(func() { readEnded <- k.read(ctx) })
	wg.Go(func() { writeEnded <- k.write(ctx) })
	wg.Go(func() { pulseEnded <- k.pulse(ctx) })

	var leave <-chan time.Time
	for {
		select {
		case after := <-k.reconnect:
			notBefore, leave = time.Now().Add(after), time.After(after)
		case err := <-readEnded:
			return notBefore, err
		case err := <-writeEnded:
			return notBefore, k.lastWord(readEnded, err)
		case err := <-pulseEnded:
			return notBefore, k.lastWord(readEnded, err)
		case <-leave:
			k.goodbye(cancel, writeEnded)
			return notBefore, errReconnect
		case <-life.Done():
			k.goodbye(cancel, writeEnded)
			return notBefore, ErrClosed
		}
	}
}

// lastWord prefers what the reader finds, shortly after a write failed with err:
// only the close frame tells whether to connect again.
func (k *connection) lastWord(readEnded <-chan error, err error) error {
	close(k.leave)
	timer := time.NewTimer(goodbyeTime)
	defer timer.Stop()
	select {
	case readErr := <-readEnded:
		if errors.As(readErr, new(*CloseError)) {
			return readErr
		}
	case <-timer.C:
	}
	return err
}

// goodbye lets the writer finish and closes the socket in form, for a bounded
// time.
func (k *connection) goodbye(cancel context.CancelFunc, writeEnded <-chan error) {
	close(k.leave)
	late := time.AfterFunc(goodbyeTime, cancel)
	<-writeEnded
	if late.Stop() {
		defer time.AfterFunc(goodbyeTime, cancel).Stop()
		_ = k.ws.Close(websocket.StatusNormalClosure, "")
	}
}

// write writes what the outbox and the inbox have to say, and something at least
// every heartbeat.
func (k *connection) write(ctx context.Context) error {
	idle := k.heartbeat * 3 / 4 // the frame needs time to arrive
	beat := time.NewTimer(idle)
	defer beat.Stop()
	for leaving := false; ; {
		frames, again := k.c.work(k.number)
		for _, data := range frames {
			if err := k.writeFrame(ctx, data); err != nil {
				return err
			}
			beat.Reset(idle)
		}
		if leaving {
			return nil
		}
		if len(frames) > 0 {
			continue
		}
		var data []byte
		var retry <-chan time.Time
		if again > 0 {
			retry = time.After(again)
		}
		select {
		case <-k.c.wake:
		case <-retry:
		case data = <-k.c.notices:
		case <-beat.C:
			data = schemas.EncodeFrame(&schemas.Heartbeat{})
		case <-k.leave:
			leaving = true
		case <-ctx.Done():
			return ctx.Err()
		}
		if data != nil {
			if err := k.writeFrame(ctx, data); err != nil {
				return err
			}
			beat.Reset(idle)
		}
	}
}

func (k *connection) writeFrame(ctx context.Context, data []byte) error {
	k.largest = max(k.largest, len(data))
	return k.ws.Write(ctx, websocket.MessageText, data)
}

// work takes what connection conn has to write now, and says when to look again.
func (c *Client) work(conn int) (frames [][]byte, again time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.inbox.takeAcks(schemas.Now(), c.limit) {
		frames = append(frames, schemas.EncodeFrame(f))
	}
	if c.wanted.users != nil && c.wanted.told != conn {
		c.wanted.told = conn
		lists, err := presenceFrames(c.wanted.users, c.limit)
		if err != nil { // the limit has shrunk since
			c.log.Warn("the server takes no list of presence", "error", err)
		}
		frames = append(frames, lists...)
	}
	sends, again := c.outbox.take(conn, time.Now())
	return slices.Concat(frames, sends), again
}

// pulse notices a connection that is dead without having ended: neither a pong nor
// another frame came in time. A reader that waits for the application sees no pong, and
// proves nothing.
func (k *connection) pulse(ctx context.Context) error {
	for sleep(ctx, k.heartbeat) {
		heard, patience := k.heard.Load(), k.patience()
		wait, cancel := context.WithTimeout(ctx, patience)
		err := k.ws.Ping(wait)
		cancel()
		alive := k.stalled.Load() || k.heard.Load() > heard
		if err != nil && !(alive && errors.Is(err, context.DeadlineExceeded)) {
			return fmt.Errorf("the server did not answer for %v: %w", patience, err)
		}
	}
	return ctx.Err()
}

// patience is how long the server may take for a pong. With sends to answer it may not
// read the socket for a while.
func (k *connection) patience() time.Duration {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	if k.c.outbox.asked(k.number) {
		return max(k.heartbeat, pongTimeout)
	}
	return pongTimeout
}
