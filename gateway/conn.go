package gateway

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/gobwas/ws"

	"roost/gateway/socket"
	"roost/schemas"
)

// conn is one WebSocket.
type conn struct {
	// Static.
	server  *Server
	address string
	ctx     context.Context // ends with the connection
	cancel  context.CancelFunc
	wg      sync.WaitGroup // the writer and the look-ups of sends

	bearer string // token of the HTTP request, or empty; owned by the reader, until greet returns
	socket socket.Socket

	entry entry // owned by server.conns

	mu      sync.Mutex    // guards the rest
	outbox  [][]byte      // at most maxOutbox; more closes the connection with 4008
	queued  int           // bytes of outbox and of the write in progress, at most maxOutboxBytes; more closes it too
	waiting *session      // whose inbox waits for room, or nil
	writing bool          // a writer runs
	pinging bool          // the writer shall ping
	held    bool          // frames wait for later ones, at most maxHeld
	closing bool          // no frame is queued any more
	room    chan struct{} // closed after a write; nil if nothing waits for it
	ending  *ending       // the close frame that the writer sends once the outbox is empty

	// slots holds one for each send without an answer. Its size is max_outstanding_sends; if
	// it is full, the reader waits.
	slots chan struct{}

	finishing sync.Mutex // held by the call that takes all slots; guards finished
	finished  bool       // all slots are taken for good
}

// run greets the client, and starts the goroutine that reads its frames. An idle connection must
// not keep the stack that greet has grown.
func (c *conn) run() {
	session := c.greet()
	c.bearer = ""
	if session == nil {
		c.hangUp()
		c.server.conns.remove(c)
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
	c.server.conns.remove(c)
}

// hangUp ends the socket after the last read: the writer, the close handshake if one has begun,
// and TCP.
func (c *conn) hangUp() {
	c.mu.Lock()
	c.closing = true // no writer starts after this
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
	c.socket.Linger()
	c.socket.CloseTCP()
	c.socket.Release()
}

// readFrames hands each frame to the session.
func (c *conn) readFrames(session *session) {
	for {
		data, ok := c.read()
		if !ok {
			return
		}
		session.handle(data)
	}
}

// read returns the next text frame, or false if the connection ended. It answers a binary frame
// with an error.
func (c *conn) read() ([]byte, bool) {
	for {
		data, text, ok := c.readFrame()
		if !ok || text {
			return data, ok
		}
		c.sendError(errBinary(), 0)
	}
}

// readFrame returns the next frame, no sooner than the limit allows, and whether it is text. It
// is not ok if the connection ended.
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
	return schemas.Errorf(schemas.CodeBadFrame, "Frames are text; this one is binary.")
}

// noteEnd counts how the connection ended, and answers the close frame of the client.
func (c *conn) noteEnd(err error) {
	if c.ctx.Err() != nil {
		return // this side closed it, and counted it
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

// errHungUp reports that a connection ended before a look-up could begin.
var errHungUp = errors.New("the connection ended")

// causes reports whether something failed because the connection ended. That is not a fault of
// the server.
func (c *conn) causes(err error) bool {
	return errors.Is(err, errHungUp) || c.ctx.Err() != nil && errors.Is(err, context.Canceled)
}

// answerClose answers the client's close frame, after it waited for the answers to the client's
// sends for at most socket.CloseTimeout.
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

// finishSends waits until all sends of the connection are answered. No send starts afterwards.
func (c *conn) finishSends(ctx context.Context) {
	c.finishing.Lock() // another call has the same bounds
	defer c.finishing.Unlock()
	if c.finished {
		return
	}
	for range cap(c.slots) {
		select {
		case c.slots <- struct{}{}:
		case <-c.ctx.Done():
			return
		case <-ctx.Done():
			return
		}
	}
	c.finished = true
}
