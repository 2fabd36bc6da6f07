package gateway

import (
	"errors"
	"os"

	"github.com/gobwas/ws"

	"roost/schemas"
)

// maxOutbox bounds the queued frames. max_in_flight bounds the messages among them, and all users
// that the client watches may go offline at once. With more frames, the client does not read.
const maxOutbox = 2*schemas.MaxInFlight + 2*schemas.MaxPresenceUsers

const (
	// maxOutboxBytes bounds the queued bytes, including the write in progress.
	maxOutboxBytes = 2 << 20
	// maxUnwritten is how many queued bytes an inbox leaves before it pauses. Others that
	// queue many frames also pause.
	maxUnwritten = 128 << 10
)

// sendFrame queues a frame.
func (c *conn) sendFrame(f schemas.ServerFrame) { c.send(schemas.EncodeFrame(f)) }

// sendError queues an error frame, and counts it. It is the only place that logs an internal error
// of a frame.
func (c *conn) sendError(e *schemas.Error, n schemas.ClientMessageID) {
	if e.Code == schemas.CodeInternal {
		c.server.log.Error("a frame failed", "error", e)
	}
	c.server.metrics.errors.WithLabelValues(string(e.Code)).Inc()
	c.sendFrame(&schemas.ErrorFrame{Code: e.Code, Message: e.Message, MessageIDByClient: n, RetryAfterMS: e.RetryAfterMS})
}

// send queues a frame, and starts the writer if none runs. It never blocks: it closes the
// connection of a client that does not read once the outbox is full. It returns false if the
// connection ended.
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

// roomFor reports whether a session's inbox may deliver. If not, wrote resumes the inbox when there
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

// waitForRoom returns when few frames are queued, or false if the connection ended. A caller with
// many frames uses it.
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

// maxHeld is how many frames hold delays at most.
const maxHeld = 16

// hold delays the frames that are queued from now on until unhold, so that one write sends them.
func (c *conn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = true
}

// unhold ends hold.
func (c *conn) unhold() {
	c.mu.Lock()
	c.held = false
	start := len(c.outbox) > 0 && !c.closing && c.startWriting()
	c.mu.Unlock()
	if start {
		go c.write()
	}
}

// write flushes the queued frames, in writes of about 16 KiB, then a ping if one is due, then the
// close frame if the connection is to end. It returns when the queue is empty.
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
				_ = c.socket.Close(ws.StatusCode(end.code), end.reason) // if the connection is lost, the reader notices
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

// wrote resumes those that wait for room.
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

// ping has the writer send a ping.
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

// stopWriting ends a connection after a write failed. The reader notices.
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

// close ends the connection with a code, after the queued frames. It does not block and may be
// called repeatedly; the first call counts.
func (c *conn) close(code schemas.CloseCode, reason string) {
	if c.endWith(&ending{code, reason}) {
		c.server.metrics.closed.WithLabelValues(closeLabel(code)).Inc()
	}
}

// endWith has the writer close the connection after the queued frames. It returns false if the
// connection is ending already.
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

// ending is the close frame of a connection.
type ending struct {
	code   schemas.CloseCode
	reason string
}

// startWriting reports whether the caller has to start the writer. The caller holds mu.
func (c *conn) startWriting() bool {
	if c.writing {
		return false
	}
	c.writing = true
	c.wg.Add(1)
	return true
}
