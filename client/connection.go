package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"roost/schemas"
)

const (
	readLimit        = 4 * schemas.MaxFrameBytes // of one frame: a newer server may send larger ones
	goodbyeTimeout   = time.Second               // of each part of a close: the last writes, and the close handshake
	defaultHeartbeat = 30 * time.Second
	pongTimeout      = 10 * time.Second // if no send waits for an answer
)

// errReconnect ends a connection after a reconnect frame.
var errReconnect = errors.New("the server asked to reconnect")

// connection is one WebSocket from its welcome to its end.
type connection struct {
	c         *Client
	ws        *websocket.Conn
	number    int
	heartbeat time.Duration

	reconnect chan time.Duration // capacity 1; the reader writes, serve reads; the reader drops a second request
	leave     chan struct{}      // serve closes it; then the writer writes its last frames and returns, and the reader queues only events that have room
	stalled   atomic.Bool        // the reader waits for room in the queue of events, so it reads no pong
	heard     atomic.Int64       // the number of frames read
	dropping  bool               // owned by the reader: it dropped an event
	largest   int                // owned by the writer, read after its end: the largest frame that it wrote, in bytes
}

// serve runs the connection until it or life ends. It returns why the connection ended and,
// if the server sent a reconnect frame, when to connect again.
func (k *connection) serve(life context.Context) (notBefore time.Time, err error) {
	// The socket stays open after the end of life, until goodbye returns.
	ctx, cancel := context.WithCancel(context.WithoutCancel(life))
	var wg sync.WaitGroup
	defer func() {
		cancel()
		_ = k.ws.CloseNow()
		wg.Wait()
		select {
		case after := <-k.reconnect: // the last frame before the end
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
			return notBefore, k.closeReason(readEnded, err)
		case err := <-pulseEnded:
			return notBefore, k.closeReason(readEnded, err)
		case <-leave:
			k.goodbye(cancel, writeEnded)
			return notBefore, errReconnect
		case <-life.Done():
			k.goodbye(cancel, writeEnded)
			return notBefore, ErrClosed
		}
	}
}

// closeReason waits shortly for a close frame after a write or ping failed with err,
// because only the close frame tells whether to reconnect. Without one it returns err.
func (k *connection) closeReason(readEnded <-chan error, err error) error {
	close(k.leave)
	timer := time.NewTimer(goodbyeTimeout)
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

// goodbye waits for the writer's last frames and closes the socket with a handshake. Both
// take at most goodbyeTimeout.
func (k *connection) goodbye(cancel context.CancelFunc, writeEnded <-chan error) {
	close(k.leave)
	late := time.AfterFunc(goodbyeTimeout, cancel)
	<-writeEnded
	if late.Stop() {
		defer time.AfterFunc(goodbyeTimeout, cancel).Stop()
		_ = k.ws.Close(websocket.StatusNormalClosure, "")
	}
}

// write writes the frames of the outbox, the inbox and the subscription, and at least one
// frame per heartbeat.
func (k *connection) write(ctx context.Context) error {
	idle := k.heartbeat * 3 / 4 // a heartbeat frame needs time to arrive
	beat := time.NewTimer(idle)
	defer beat.Stop()
	for leaving := false; ; {
		frames, again := k.c.takeFrames(k.number)
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

// takeFrames returns the frames that connection conn writes now. If again is not 0, there
// may be more after that time.
func (c *Client) takeFrames(conn int) (frames [][]byte, again time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.inbox.takeAcks(schemas.Now(), c.limit) {
		frames = append(frames, schemas.EncodeFrame(f))
	}
	if c.presence.users != nil && c.presence.sent != conn {
		c.presence.sent = conn
		lists, err := presenceFrames(c.presence.users, c.limit)
		if err != nil { // the limit has become smaller since SubscribePresence
			c.log.Warn("the server accepts no frame that subscribes to presence", "error", err)
		}
		frames = append(frames, lists...)
	}
	sends, again := c.outbox.take(conn, time.Now())
	return slices.Concat(frames, sends), again
}

// pulse detects a dead connection: neither a pong nor another frame comes in time. A reader
// that waits for the application reads no pong, so then pulse detects nothing.
func (k *connection) pulse(ctx context.Context) error {
	for sleep(ctx, k.heartbeat) {
		heard, timeout := k.heard.Load(), k.pongTimeout()
		wait, cancel := context.WithTimeout(ctx, timeout)
		err := k.ws.Ping(wait)
		cancel()
		alive := k.stalled.Load() || k.heard.Load() > heard
		if err != nil && !(alive && errors.Is(err, context.DeadlineExceeded)) {
			return fmt.Errorf("the server did not answer for %v: %w", timeout, err)
		}
	}
	return ctx.Err()
}

// pongTimeout returns how long the server may take for a pong. A server with sends to answer
// may not read the socket for a while.
func (k *connection) pongTimeout() time.Duration {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	if k.c.outbox.awaitsAnswer(k.number) {
		return max(k.heartbeat, pongTimeout)
	}
	return pongTimeout
}
