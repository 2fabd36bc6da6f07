package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"roost/gateway/socket/sockettest"
	"roost/schemas"
)

// TestSilentConnections is pinged after one and a half heartbeats, each half heartbeat, and
// closed after three.
func TestSilentConnections(t *testing.T) {
	const heartbeat = 30 * time.Second
	out := &sockettest.Conn{}
	c, _ := connOn(t, out)
	defer c.cancel()
	s := c.server
	s.opts.Heartbeat = heartbeat
	s.conns = newRegistry(Limits{})
	s.conns.conns[c] = struct{}{}
	heard := c.socket.LastHeard()
	for _, step := range []struct {
		after  time.Duration
		frames []ws.OpCode // so far
	}{
		{45 * time.Second, nil},
		{46 * time.Second, []ws.OpCode{ws.OpPing}},
		{60 * time.Second, []ws.OpCode{ws.OpPing}},
		{62 * time.Second, []ws.OpCode{ws.OpPing, ws.OpPing}},
		{89 * time.Second, []ws.OpCode{ws.OpPing, ws.OpPing, ws.OpPing}},
		{90 * time.Second, []ws.OpCode{ws.OpPing, ws.OpPing, ws.OpPing}},
		{91 * time.Second, []ws.OpCode{ws.OpPing, ws.OpPing, ws.OpPing, ws.OpClose}},
	} {
		s.tend(heard.Add(step.after))
		c.wg.Wait()
		got := out.Frames(t)
		if len(got) != len(step.frames) {
			t.Fatalf("after %v: wrote %v", step.after, got)
		}
		for i, op := range step.frames {
			if got[i].Header.OpCode != op {
				t.Errorf("after %v: frame %d is %v", step.after, i, got[i].Header)
			}
		}
	}
	if code, _ := ws.ParseCloseFrameData(out.Frames(t)[3].Payload); code != ws.StatusCode(schemas.CloseSlow) {
		t.Errorf("closed with %d", code)
	}
}

// closing is a connection that says when it is closed.
type closing struct {
	*sockettest.Conn
	closed chan struct{}
}

func (c *closing) Close() error {
	close(c.closed)
	return nil
}

// TestHangingUpDoesNotWaitForTheSession ends a connection whose session takes its time.
func TestHangingUpDoesNotWaitForTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &closing{&sockettest.Conn{}, make(chan struct{})}
		c := onServer(&Server{conns: newRegistry(Limits{})}, out)
		ended, left := make(chan struct{}), make(chan struct{})
		go func() {
			c.finish(func() { <-ended })
			close(left)
		}()
		<-out.closed // a deadlock if TCP waits for the end of the session
		synctest.Wait()
		select {
		case <-left:
			t.Error("nobody waits for the end of the session")
		default:
		}
		close(ended)
		<-left
	})
}
