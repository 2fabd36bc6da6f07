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
	wg      sync.WaitGroup // writer, look-ups of retries

	bearer string // token of the HTTP request, or empty; of the reader, until greet is done
	socket socket.Socket

	entry entry // owned by server.conns

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

// run greets the client. What follows has a goroutine of its own: the stack that
// the greeting has grown is not for an idle connection to keep.
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
