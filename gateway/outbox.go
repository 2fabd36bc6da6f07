package gateway

import (
	"errors"
	"os"

	"github.com/gobwas/ws"

	"roost/schemas"
)

// maxOutbox bounds the frames that wait to be written. Messages among them are
// bounded by max_in_flight, and all whom the client looks at may go offline at once;
// beyond, the client does not read.
const maxOutbox = 2*schemas.MaxInFlight + 2*schemas.MaxPresenceUsers

const (
	// maxOutboxBytes bounds the same in bytes, what is being written included.
	maxOutboxBytes = 2 << 20
	// maxUnwritten is how many bytes of them an inbox may leave to be written before it waits,
	// and the others that have much to send.
	maxUnwritten = 128 << 10
)

// sendFrame queues a frame.
func (c *conn) sendFrame(f schemas.ServerFrame) { c.send(schemas.EncodeFrame(f)) }

// sendError queues an error frame. An internal error is logged here, and only
// here.
func (c *conn) sendError(e *schemas.Error, n schemas.ClientMessageID) {
	if e.Code == schemas.CodeInternal {
		c.server.log.Error("a frame failed", "error", e)
	}
	c.server.metrics.errors.WithLabelValues(string(e.Code)).Inc()
	c.sendFrame(&schemas.ErrorFrame{Code: e.Code, Message: e.Message, MessageIDByClient: n, RetryAfterMS: e.RetryAfterMS})
}

// send queues a frame, and starts the writer where none runs. It never blocks:
// a client that does not read is closed once the outbox is full. False where the
// connection is over.
func (c *conn) send(frame []byte) bool {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return false
	}
	if len(c.outbox) >= maxOutbox || c.queued+len(frame) > maxOutboxBytes {
		c.mu.Unlock()
		c.close(schemas.CloseSlow, "the client does not read")
		return false
	}
	c.outbox = append(c.outbox, frame)
	c.queued += len(frame)
	start := (!c.held || len(c.outbox) >= maxHeld) && c.startWriting()
	c.mu.Unlock()
	if start {
		go c.write()
	}
	return true
}

// roomFor says whether a session's inbox may deliver. If not, the inbox goes on once there
// is room.
func (c *conn) roomFor(s *session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued <= maxUnwritten {
		return true
	}
	c.waiting = s
	return false
}

// waitForRoom returns once few frames wait to be written; false where the
// connection is over. It is for who has many to queue.
func (c *conn) waitForRoom() bool {
	for {
		c.mu.Lock()
		if c.closing || len(c.outbox) <= maxOutbox/4 && c.queued <= maxUnwritten {
			defer c.mu.Unlock()
			return !c.closing
		}
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-c.ctx.Done():
			return false
		}
	}
}

// maxHeld is how many frames wait at most while the connection holds them.
const maxHeld = 16

// hold lets what is sent from now on wait until unhold, so that it goes out in
// one write.
func (c *conn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = true
}

func (c *conn) unhold() {
	c.mu.Lock()
	c.held = false
	start := len(c.outbox) > 0 && !c.closing && c.startWriting()
	c.mu.Unlock()
	if start {
		go c.write()
	}
}

// write flushes all queued frames in one write, then a ping if one is due, then the close
// frame if the connection is to end. It returns when the queue is empty.
func (c *conn) write() {
	defer c.wg.Done()
	for {
		c.mu.Lock()
		batch, size, ping, end := c.outbox, c.queued, c.pinging, c.ending
		c.outbox, c.pinging = nil, false
		if len(batch) == 0 && !ping {
			c.writing = false
			c.mu.Unlock()
			if end != nil {
				_ = c.socket.Close(ws.StatusCode(end.code), end.reason) // or lost, which the reader notices
			}
			return
		}
		c.mu.Unlock()
		err := c.socket.Write(batch)
		if err == nil && ping {
			err = c.socket.Ping()
		}
		if err != nil {
			c.stopWriting(err)
			return
		}
		c.wrote(size)
	}
}

// wrote makes room for those that wait for it.
func (c *conn) wrote(size int) {
	c.mu.Lock()
	c.queued -= size
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	var waiting *session
	if c.queued <= maxUnwritten/2 {
		waiting, c.waiting = c.waiting, nil
	}
	c.mu.Unlock()
	if waiting != nil {
		waiting.inbox.Continue()
	}
}

// ping has the writer ask the client for a sign of life.
func (c *conn) ping() {
	c.mu.Lock()
	start := false
	if !c.closing {
		c.pinging = true
		start = c.startWriting()
	}
	c.mu.Unlock()
	if start {
		go c.write()
	}
}

// stopWriting ends a connection that cannot be written to. The reader notices.
func (c *conn) stopWriting(err error) {
	c.mu.Lock()
	first := !c.closing
	c.closing, c.writing, c.outbox = true, false, nil
	c.mu.Unlock()
	if first {
		reason := "lost"
		if errors.Is(err, os.ErrDeadlineExceeded) {
			reason = closeLabel(schemas.CloseSlow)
		}
		c.server.metrics.closed.WithLabelValues(reason).Inc()
	}
	c.cancel()
	c.socket.CloseTCP()
}

// close ends the connection with a code, after the frames that wait. It does
// not block and may be called repeatedly; the first call counts.
func (c *conn) close(code schemas.CloseCode, reason string) {
	if c.endWith(&ending{code, reason}) {
		c.server.metrics.closed.WithLabelValues(closeLabel(code)).Inc()
	}
}

// endWith has the writer close the connection, after the frames that wait; false if the
// connection ends already.
func (c *conn) endWith(e *ending) bool {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return false
	}
	c.closing, c.ending = true, e
	start := c.startWriting()
	c.mu.Unlock()
	c.cancel()
	if start {
		go c.write()
	}
	return true
}

// ending is how a connection shall be closed.
type ending struct {
	code   schemas.CloseCode
	reason string
}

// startWriting says whether the caller has to start the writer.
func (c *conn) startWriting() bool {
	if c.writing {
		return false
	}
	c.writing = true
	c.wg.Add(1)
	return true
}
