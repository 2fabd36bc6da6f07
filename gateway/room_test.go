package gateway

import (
	"bytes"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"

	"roost/gateway/socket/sockettest"
	"roost/schemas"
	"roost/streams/inbox"
)

// stuck is a connection whose client does not read until it is let go.
type stuck struct {
	*sockettest.Conn
	writing chan struct{} // closed by the first write
	let     chan struct{}
}

func newStuck() *stuck {
	return &stuck{Conn: &sockettest.Conn{}, writing: make(chan struct{}), let: make(chan struct{})}
}

func (s *stuck) Write(p []byte) (int, error) {
	select {
	case <-s.writing:
	default:
		close(s.writing)
	}
	<-s.let
	return s.Conn.Write(p)
}

// goesOn is an inbox that counts how often it is told of room.
type goesOn struct {
	inbox.Consumer // none: what is not below is not called
	times          atomic.Int32
}

func (g *goesOn) Continue() { g.times.Add(1) }

// TestInboxWaitsForRoom delivers large entries to a client that does not read: the bytes
// that wait are bounded, whatever the number of frames, and the inbox goes on after them.
func TestInboxWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newStuck()
		c, _ := connOn(t, out)
		defer c.cancel()
		inbox := &goesOn{}
		s := &session{conn: c, server: c.server, inbox: inbox}
		entry := (&schemas.Message{MessageID: "01K742SG00MESSAGEMESSAGE01", SenderID: "alice", ReceiverID: "bob", Content: string(bytes.Repeat([]byte("a"), 4000)), Timestamp: 1}).StoredMessage()
		n := 0
		for ; s.Room() && n < schemas.MaxInFlight; n++ {
			s.Deliver(entry, "cursor")
		}
		c.mu.Lock()
		queued := c.queued
		c.mu.Unlock()
		if queued > maxUnwritten+8<<10 || n < 10 {
			t.Errorf("%d bytes of %d entries wait to be written", queued, n)
		}
		<-out.writing
		if s.Room() {
			t.Error("there is room though nothing was written")
		}
		close(out.let)
		c.wg.Wait()
		if got := inbox.times.Load(); got != 1 {
			t.Errorf("the inbox was told %d times of room", got)
		}
		if !s.Room() || c.queued != 0 {
			t.Errorf("no room after all was written: %d bytes", c.queued)
		}
		if got := len(out.Frames(t)); got != n {
			t.Errorf("%d frames were written of %d", got, n)
		}
	})
}

// TestOutboxIsBoundedInBytes queues frames that no inbox holds back: few of them, and large.
func TestOutboxIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newStuck()
		c, _ := connOn(t, out)
		frame := bytes.Repeat([]byte("a"), 40<<10)
		n := 0
		for ; c.send(frame); n++ {
			if n > maxOutboxBytes/len(frame) {
				t.Fatalf("%d frames of %d bytes wait", n, len(frame))
			}
		}
		if c.ctx.Err() == nil {
			t.Error("the connection goes on")
		}
		close(out.let)
		c.wg.Wait()
		frames := out.Frames(t)
		if code, _ := ws.ParseCloseFrameData(frames[len(frames)-1].Payload); code != ws.StatusCode(schemas.CloseSlow) {
			t.Errorf("closed with %d", code)
		}
	})
}

// TestMuchToQueueWaitsForBytes has a sender of many frames wait while large ones are unwritten.
func TestMuchToQueueWaitsForBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newStuck()
		c, _ := connOn(t, out)
		defer c.cancel()
		for range 4 {
			c.send(bytes.Repeat([]byte("a"), 40<<10))
		}
		var room atomic.Bool
		go func() { room.Store(c.waitForRoom()) }()
		synctest.Wait()
		if room.Load() {
			t.Error("160 KiB are unwritten, and there is room")
		}
		close(out.let)
		c.wg.Wait()
		synctest.Wait()
		if !room.Load() {
			t.Error("all was written, and there is no room")
		}
	})
}
