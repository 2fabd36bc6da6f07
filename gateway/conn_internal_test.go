package gateway

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"

	"roost/gateway/socket"
	"roost/gateway/socket/sockettest"
	"roost/schemas"
)

// noInboxes are the inboxes of a gateway without any.
type noInboxes struct{}

func (noInboxes) Unremoved() int64                       { return 0 }
func (noInboxes) HeldBack() (here bool, others []string) { return false, nil }
func (noInboxes) Unreadable() int64                      { return 0 }
func (noInboxes) Late() int64                            { return 0 }

// connOn is a connection without a gateway behind it.
func connOn(t *testing.T, conn net.Conn) (*conn, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	s := &Server{conns: newRegistry(Limits{})}
	s.metrics = newMetrics(reg, s, noInboxes{}, noInboxes{})
	return onServer(s, conn), reg
}

func onServer(s *Server, netConn net.Conn) *conn {
	c := &conn{server: s}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.socket.Adopt(netConn, nil, nil)
	return c
}

// TestWaitingFramesAreOneWrite holds frames, as a hello does, and lets them go.
func TestWaitingFramesAreOneWrite(t *testing.T) {
	out := &sockettest.Conn{}
	c, _ := connOn(t, out)
	c.hold()
	const n = maxHeld - 1
	for i := range n {
		c.send(fmt.Append(nil, "frame ", i))
	}
	c.wg.Wait() // for the writer that there should not be
	if len(out.Writes) != 0 {
		t.Errorf("%d writes while held", len(out.Writes))
	}
	c.unhold()
	c.wg.Wait()
	if len(out.Writes) != 1 {
		t.Errorf("%d writes for frames that waited together", len(out.Writes))
	}
	for i, f := range out.Frames(t) {
		if want := fmt.Sprint("frame ", i); string(f.Payload) != want || f.Header.OpCode != ws.OpText {
			t.Errorf("%q, want %q", f.Payload, want)
		}
	}
}

// TestHeldFramesAreBounded sends more than may wait.
func TestHeldFramesAreBounded(t *testing.T) {
	out := &sockettest.Conn{}
	c, _ := connOn(t, out)
	c.hold()
	for range maxHeld {
		c.send([]byte("x"))
	}
	c.wg.Wait()
	if got := len(out.Frames(t)); got != maxHeld {
		t.Errorf("%d frames went out", got)
	}
}

// TestWriteThatTakesTooLong ends the connection as that of a client that does not
// read.
func TestWriteThatTakesTooLong(t *testing.T) {
	out := &sockettest.Conn{Fail: os.ErrDeadlineExceeded}
	c, reg := connOn(t, out)
	c.send([]byte("x"))
	c.wg.Wait()
	if left := time.Until(out.Deadline); left <= 0 || left > socket.WriteTimeout {
		t.Errorf("the write had %v", left)
	}
	if !out.Closed || c.ctx.Err() == nil {
		t.Error("the connection goes on")
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasSuffix(f.GetName(), "connections_closed_total") {
			if m := f.GetMetric()[0]; m.GetLabel()[0].GetValue() != closeLabel(schemas.CloseSlow) || m.GetCounter().GetValue() != 1 {
				t.Errorf("counted as %v", m)
			}
			return
		}
	}
	t.Error("it was not counted")
}
