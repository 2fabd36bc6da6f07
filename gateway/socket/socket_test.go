package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/time/rate"

	"roost/gateway/socket/sockettest"
	"roost/schemas"
)

func socketOn(in io.Reader) (*Socket, *sockettest.Conn) {
	conn := &sockettest.Conn{In: in}
	s := &Socket{}
	s.Adopt(conn, nil, nil)
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
				kind, got, err := s.Read(t.Context())
				if err != nil || kind != ws.OpText || !bytes.Equal(got, w) {
					t.Fatalf("message %d of %d bytes: %d bytes, kind %d, %v", i, len(w), len(got), kind, err)
				}
			}
			_, _, err := s.Read(t.Context())
			if closed := (ClosedError{}); !errors.As(err, &closed) || closed.Code != ws.StatusGoingAway {
				t.Errorf("the end is %v", err)
			}
			answers := conn.Frames(t)
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
			if _, _, err := s.Read(t.Context()); err == nil {
				t.Fatal("it was read")
			}
			answers := conn.Frames(t)
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
					_, _, err = s.Read(t.Context())
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
	if err := s.Close(ws.StatusCode(schemas.CloseForbidden), strings.Repeat("é", 100)); err != nil {
		t.Fatal(err)
	}
	if _, reason := ws.ParseCloseFrameData(out.Frames(t)[0].Payload); reason != strings.Repeat("é", 61) {
		t.Errorf("the reason is %q", reason)
	}
}

func TestSocketCutOff(t *testing.T) {
	wire := sent(ws.NewTextFrame(text(400)))
	for _, n := range []int{1, 3, 7, 8, 200, 407} {
		s, _ := socketOn(bytes.NewReader(wire[:n]))
		if _, _, err := s.Read(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// TestIdleSocketHoldsNoBuffer waits with its own bytes once a small frame came.
func TestIdleSocketHoldsNoBuffer(t *testing.T) {
	heartbeat := sent(ws.NewTextFrame([]byte(`{"type":"heartbeat"}`)))
	s, _ := socketOn(io.MultiReader(bytes.NewReader(sent(ws.NewTextFrame(text(1000)))), bytes.NewReader(heartbeat)))
	for range 2 {
		if _, _, err := s.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Read(t.Context()); err != io.EOF {
		t.Fatal(err)
	}
	if s.busy != nil || len(s.buf) != smallBuffer {
		t.Errorf("it waits with %d bytes", len(s.buf))
	}
}

// TestSmallFramesAllocateNothing counts reading as an idle connection does it.
func TestSmallFramesAllocateNothing(t *testing.T) {
	const runs = 100
	one := sent(ws.NewTextFrame([]byte(`{"type":"heartbeat"}`)))
	s, _ := socketOn(bytes.NewReader(bytes.Repeat(one, runs+1)))
	if n := testing.AllocsPerRun(runs, func() {
		if _, _, err := s.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// TestWritesAreBounded sends more at once than one write takes.
func TestWritesAreBounded(t *testing.T) {
	s, out := socketOn(nil)
	messages := [][]byte{text(10), text(70_000), text(200), text(writeChunk - 400), text(300)}
	if err := s.Write(messages); err != nil {
		t.Fatal(err)
	}
	if len(out.Writes) != 4 {
		t.Errorf("%d writes", len(out.Writes))
	}
	for i, f := range out.Frames(t) {
		if !bytes.Equal(f.Payload, messages[i]) {
			t.Errorf("message %d of %d bytes became %d", i, len(messages[i]), len(f.Payload))
		}
	}
}

// TestNothingFollowsTheCloseFrame writes, and pings, after it.
func TestNothingFollowsTheCloseFrame(t *testing.T) {
	s, out := socketOn(bytes.NewReader(sent(ws.NewPingFrame(nil), ws.NewTextFrame(nil))))
	if err := s.Close(ws.StatusCode(schemas.CloseReplaced), "replaced"); err != nil {
		t.Fatal(err)
	}
	if err := s.Write([][]byte{[]byte("x")}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing: %v", err)
	}
	s.Linger()
	if got := out.Frames(t); len(got) != 1 || got[0].Header.OpCode != ws.OpClose {
		t.Errorf("wrote %v", got)
	}
}
