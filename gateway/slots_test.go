package gateway

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"roost/gateway/socket/sockettest"
	"roost/schemas"
	"roost/streams/streamstest"
)

// With 64 sends without an answer the next one waits, and with it the reader of the
// socket, until one is answered.
func TestReaderWaitsWithTooManySends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sockettest.Conn{}
		c, _ := connOn(t, out)
		defer c.cancel()
		c.slots = make(chan struct{}, schemas.MaxOutstanding)
		c.server.log = streamstest.Log(t)
		c.server.opts.Refuse = func() error { return errors.New("not now") } // so it is answered at once
		s := &session{conn: c, server: c.server}
		s.sender = newSender(s, schemas.Device{}, 0)
		var read atomic.Int32
		send := func() {
			n := schemas.ClientMessageID(read.Load() + 1)
			s.handle(schemas.EncodeFrame(&schemas.SendMessage{ReceiverID: "bob", Content: "x", MessageIDByClient: n, Timestamp: 1}))
			read.Add(1)
		}
		for range schemas.MaxOutstanding - 1 {
			c.slots <- struct{}{}
		}
		send()
		c.slots <- struct{}{}
		go send()
		synctest.Wait()
		if got := read.Load(); got != 1 {
			t.Errorf("%d frames were read while %d sends had no answer", got, schemas.MaxOutstanding)
		}
		<-c.slots
		synctest.Wait()
		if got := read.Load(); got != 2 {
			t.Errorf("%d frames were read once one was answered", got)
		}
		c.wg.Wait()
		if got := len(out.Frames(t)); got != 2 {
			t.Errorf("%d answers", got)
		}
	})
}
