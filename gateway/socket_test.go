package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"roost/schemas"
	"roost/streams"
)

// recorded is a connection that hands out what is in it and keeps each write.
type recorded struct {
	net.Conn // none: what is not below is not called
	in       io.Reader
	writes   [][]byte
	fail     error // what a write returns
	deadline time.Time
	closed   bool
}

func (r *recorded) Read(p []byte) (int, error)         { return r.in.Read(p) }
func (r *recorded) SetReadDeadline(time.Time) error    { return nil }
func (r *recorded) SetWriteDeadline(t time.Time) error { r.deadline = t; return nil }
func (r *recorded) Close() error                       { r.closed = true; return nil }

func (r *recorded) Write(p []byte) (int, error) {
	if r.fail != nil {
		return 0, r.fail
	}
	r.writes = append(r.writes, bytes.Clone(p))
	return len(p), nil
}

// frames reads what was written.
func (r *recorded) frames(t *testing.T) (all []ws.Frame) {
	t.Helper()
	in := bytes.NewReader(bytes.Join(r.writes, nil))
	for in.Len() > 0 {
		h, err := ws.ReadHeader(in)
		if err != nil || h.Length > int64(in.Len()) {
			t.Fatalf("a frame of %d bytes, %v", h.Length, err)
		}
		f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
		if _, err := io.ReadFull(in, f.Payload); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

func socketOn(in io.Reader) (*socket, *recorded) {
	conn := &recorded{in: in}
	s := &socket{}
	s.adopt(conn, nil)
	return s, conn
}

// sent are frames as a client writes them: masked.
func sent(frames ...ws.Frame) []byte {
	var b bytes.Buffer
	for _, f := range frames {
		ws.MustWriteFrame(&b, ws.MaskFrame(f))
	}
	return b.Bytes()
}

func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte((n+i)%26)
	}
	return b
}

// TestSocketReads reads the same messages however the network cuts them.
func TestSocketReads(t *testing.T) {
	var want [][]byte
	var wire []byte
	for _, n := range []int{0, 1, 125, 126, 248, 249, 250, 256, 257, 1000, 4088, 4089, 4096, 5000, schemas.MaxFrameBytes, 3, 300, 10} {
		want = append(want, text(n))
		wire = append(wire, sent(ws.NewTextFrame(text(n)))...)
	}
	want = append(want, text(600))
	wire = append(wire, sent(ws.NewFrame(ws.OpText, false, text(600)[:100]), ws.NewPingFrame([]byte("between")),
		ws.NewFrame(ws.OpContinuation, false, text(600)[100:101]), ws.NewFrame(ws.OpContinuation, true, text(600)[101:]))...)
	wire = append(wire, sent(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusGoingAway, "bye")))...)
	for name, in := range map[string]io.Reader{
		"at once":      bytes.NewReader(wire),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(wire)),
		"in halves":    iotest.HalfReader(bytes.NewReader(wire)),
	} {
		t.Run(name, func(t *testing.T) {
			s, conn := socketOn(in)
			for i, w := range want {
				kind, got, err := s.read(t.Context())
				if err != nil || kind != ws.OpText || !bytes.Equal(got, w) {
					t.Fatalf("message %d of %d bytes: %d bytes, kind %d, %v", i, len(w), len(got), kind, err)
				}
			}
			_, _, err := s.read(t.Context())
			if closed := (closedError{}); !errors.As(err, &closed) || closed.label() != "client" {
				t.Errorf("the end is %v", err)
			}
			answers := conn.frames(t)
			if len(answers) != 1 || answers[0].Header.OpCode != ws.OpPong || string(answers[0].Payload) != "between" {
				t.Errorf("answered %v", answers)
			}
		})
	}
}

func TestSocketRefuses(t *testing.T) {
	unmasked := ws.MustCompileFrame(ws.NewTextFrame([]byte("x")))
	reserved := ws.NewTextFrame([]byte("x"))
	reserved.Header.Rsv = ws.Rsv(true, false, false)
	for name, c := range map[string]struct {
		wire []byte
		code ws.StatusCode
	}{
		"unmasked":                 {unmasked, ws.StatusProtocolError},
		"compressed":               {sent(reserved), ws.StatusProtocolError},
		"unknown kind":             {sent(ws.NewFrame(5, true, nil)), ws.StatusProtocolError},
		"continuation of nothing":  {sent(ws.NewFrame(ws.OpContinuation, true, nil)), ws.StatusProtocolError},
		"message inside a message": {sent(ws.NewFrame(ws.OpText, false, nil), ws.NewTextFrame(nil)), ws.StatusProtocolError},
		"fragmented ping":          {sent(ws.NewFrame(ws.OpPing, false, nil)), ws.StatusProtocolError},
		"close without a code":     {sent(ws.NewCloseFrame([]byte{3})), ws.StatusProtocolError},
		"close with code 999":      {sent(ws.NewCloseFrame(ws.NewCloseFrameBody(999, ""))), ws.StatusProtocolError},
		"too big":                  {sent(ws.NewTextFrame(text(schemas.MaxFrameBytes + 1))), ws.StatusMessageTooBig},
		"too big in parts": {sent(ws.NewFrame(ws.OpText, false, text(schemas.MaxFrameBytes)), ws.NewFrame(ws.OpContinuation, true, text(1))),
			ws.StatusMessageTooBig},
		"of 2^63 bytes":             {[]byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, ws.StatusMessageTooBig},
		"the top bit of the length": {[]byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5}, ws.StatusProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			s, conn := socketOn(bytes.NewReader(c.wire))
			if _, _, err := s.read(t.Context()); err == nil {
				t.Fatal("it was read")
			}
			answers := conn.frames(t)
			if len(answers) != 1 {
				t.Fatalf("answered %v", answers)
			}
			if code, _ := ws.ParseCloseFrameData(answers[0].Payload); code != c.code {
				t.Errorf("closed with %d, want %d", code, c.code)
			}
		})
	}
}

// TestControlFramesWithinALargeMessage interrupts a message that is as long as it may be.
func TestControlFramesWithinALargeMessage(t *testing.T) {
	most := string(text(schemas.MaxFrameBytes))
	begin, end := frame(ws.OpText, false, most), frame(ws.OpContinuation, true, "")
	for name, c := range map[string]struct {
		in   []byte
		want []string
	}{
		"ping":  {join(begin, pingFrame("x"), end, normalClose), []string{"pong x", "text " + most, "close 1000"}},
		"pong":  {join(begin, frame(ws.OpPong, true, "x"), end, normalClose), []string{"text " + most, "close 1000"}},
		"close": {join(begin, closeWith(4321, "x"), end), []string{"close 4321"}},
	} {
		if got := echo(t, bytes.NewReader(c.in)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %.100q, want %.100q", name, got, c.want)
		}
	}
}

// TestAllFramesAreLimited reads pings, pongs and empty fragments no faster than messages.
func TestAllFramesAreLimited(t *testing.T) {
	for name, many := range map[string][]byte{
		"messages":  bytes.Repeat(textFrame("x"), 30),
		"pings":     bytes.Repeat(pingFrame("x"), 30),
		"pongs":     bytes.Repeat(frame(ws.OpPong, true, "x"), 30),
		"fragments": join(frame(ws.OpText, false, ""), bytes.Repeat(frame(ws.OpContinuation, false, ""), 29)),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := socketOn(bytes.NewReader(many))
				s.frames = rate.NewLimiter(10, 5) // 5 at once, 25 and the end of the input in 2.6 s
				began := time.Now()
				for err := error(nil); err == nil; {
					_, _, err = s.read(t.Context())
				}
				if took := time.Since(began); took < 2500*time.Millisecond {
					t.Errorf("30 frames were read in %v", took)
				}
			})
		})
	}
}

// TestCloseReasonIsCutBetweenCharacters closes with a reason that is too long.
func TestCloseReasonIsCutBetweenCharacters(t *testing.T) {
	s, out := socketOn(nil)
	if err := s.close(ws.StatusCode(schemas.CloseForbidden), strings.Repeat("é", 100)); err != nil {
		t.Fatal(err)
	}
	if _, reason := ws.ParseCloseFrameData(out.frames(t)[0].Payload); reason != strings.Repeat("é", 61) {
		t.Errorf("the reason is %q", reason)
	}
}

func TestSocketCutOff(t *testing.T) {
	wire := sent(ws.NewTextFrame(text(400)))
	for _, n := range []int{1, 3, 7, 8, 200, 407} {
		s, _ := socketOn(bytes.NewReader(wire[:n]))
		if _, _, err := s.read(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// TestIdleSocketHoldsNoBuffer waits with its own bytes once a small frame came.
func TestIdleSocketHoldsNoBuffer(t *testing.T) {
	heartbeat := sent(ws.NewTextFrame([]byte(heartbeat)))
	s, _ := socketOn(io.MultiReader(bytes.NewReader(sent(ws.NewTextFrame(text(1000)))), bytes.NewReader(heartbeat)))
	for range 2 {
		if _, _, err := s.read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.read(t.Context()); err != io.EOF {
		t.Fatal(err)
	}
	if s.busy != nil || len(s.buf) != smallBuffer {
		t.Errorf("it waits with %d bytes", len(s.buf))
	}
}

// TestSmallFramesAllocateNothing counts reading as an idle connection does it.
func TestSmallFramesAllocateNothing(t *testing.T) {
	const runs = 100
	one := sent(ws.NewTextFrame([]byte(heartbeat)))
	s, _ := socketOn(bytes.NewReader(bytes.Repeat(one, runs+1)))
	if n := testing.AllocsPerRun(runs, func() {
		if _, _, err := s.read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// connOn is a connection without a gateway behind it.
func connOn(t *testing.T, conn net.Conn) (*conn, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	s := &Server{consumers: &streams.Consumers{}}
	s.metrics = newMetrics(reg, s)
	return onServer(s, conn), reg
}

func onServer(s *Server, netConn net.Conn) *conn {
	c := &conn{server: s}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.socket.adopt(netConn, nil)
	return c
}

// TestWaitingFramesAreOneWrite holds frames, as a hello does, and lets them go.
func TestWaitingFramesAreOneWrite(t *testing.T) {
	out := &recorded{}
	c, _ := connOn(t, out)
	c.hold()
	const n = maxHeld - 1
	for i := range n {
		c.send(fmt.Append(nil, "frame ", i))
	}
	c.wg.Wait() // for the writer that there should not be
	if len(out.writes) != 0 {
		t.Errorf("%d writes while held", len(out.writes))
	}
	c.unhold()
	c.wg.Wait()
	if len(out.writes) != 1 {
		t.Errorf("%d writes for frames that waited together", len(out.writes))
	}
	for i, f := range out.frames(t) {
		if want := fmt.Sprint("frame ", i); string(f.Payload) != want || f.Header.OpCode != ws.OpText {
			t.Errorf("%q, want %q", f.Payload, want)
		}
	}
}

// TestHeldFramesAreBounded sends more than may wait.
func TestHeldFramesAreBounded(t *testing.T) {
	out := &recorded{}
	c, _ := connOn(t, out)
	c.hold()
	for range maxHeld {
		c.send([]byte("x"))
	}
	c.wg.Wait()
	if got := len(out.frames(t)); got != maxHeld {
		t.Errorf("%d frames went out", got)
	}
}

// TestWritesAreBounded sends more at once than one write takes.
func TestWritesAreBounded(t *testing.T) {
	s, out := socketOn(nil)
	messages := [][]byte{text(10), text(70_000), text(200), text(writeChunk - 400), text(300)}
	if err := s.write(messages); err != nil {
		t.Fatal(err)
	}
	if len(out.writes) != 4 {
		t.Errorf("%d writes", len(out.writes))
	}
	for i, f := range out.frames(t) {
		if !bytes.Equal(f.Payload, messages[i]) {
			t.Errorf("message %d of %d bytes became %d", i, len(messages[i]), len(f.Payload))
		}
	}
}

// TestWriteThatTakesTooLong ends the connection as that of a client that does not
// read.
func TestWriteThatTakesTooLong(t *testing.T) {
	out := &recorded{fail: os.ErrDeadlineExceeded}
	c, reg := connOn(t, out)
	c.send([]byte("x"))
	c.wg.Wait()
	if left := time.Until(out.deadline); left <= 0 || left > writeTimeout {
		t.Errorf("the write had %v", left)
	}
	if !out.closed || c.ctx.Err() == nil {
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

// TestNothingFollowsTheCloseFrame writes, and pings, after it.
func TestNothingFollowsTheCloseFrame(t *testing.T) {
	s, out := socketOn(bytes.NewReader(sent(ws.NewPingFrame(nil), ws.NewTextFrame(nil))))
	if err := s.close(ws.StatusCode(schemas.CloseReplaced), "replaced"); err != nil {
		t.Fatal(err)
	}
	if err := s.write([][]byte{[]byte("x")}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing: %v", err)
	}
	s.linger()
	if got := out.frames(t); len(got) != 1 || got[0].Header.OpCode != ws.OpClose {
		t.Errorf("wrote %v", got)
	}
}

func TestWaveIsOver(t *testing.T) {
	var w wave
	for i, c := range []struct {
		allocated uint64 // MiB
		over      bool
	}{{0, false}, {50, false}, {2000, false}, {2003, true}, {2003, false}, {2060, false}, {2075, false}, {2075, true},
		{4000, false}, {4005, false}, {4008, true}} {
		if got := w.over(c.allocated << 20); got != c.over {
			t.Errorf("look %d, at %d MiB: %v", i, c.allocated, got)
		}
	}
}
