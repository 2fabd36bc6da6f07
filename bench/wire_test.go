package bench

import (
	"bytes"
	"testing"

	"github.com/gobwas/ws"
)

// TestFrames: what a link writes is a masked frame of the RFC, whatever its size,
// and what a server writes is cut out whole.
func TestFrames(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 1000, 60_000} {
		payload := bytes.Repeat([]byte("x"), size)
		out := appendFrame([]byte("before"), ws.OpText, func(b []byte) []byte { return append(b, payload...) })
		in, found := bytes.CutPrefix(out, []byte("before"))
		if !found {
			t.Fatal("what was there is not there any more")
		}
		rest := bytes.NewReader(in)
		head, err := ws.ReadHeader(rest)
		if err != nil {
			t.Fatal(err)
		}
		if !head.Masked || !head.Fin || head.OpCode != ws.OpText || head.Length != int64(size) || rest.Len() != size {
			t.Errorf("%d bytes: %+v", size, head)
		}
		got := bytes.Clone(in[len(in)-rest.Len():])
		ws.Cipher(got, head.Mask, 0)
		if !bytes.Equal(got, payload) {
			t.Errorf("%d bytes: the payload is another", size)
		}
		server, err := ws.CompileFrame(ws.NewTextFrame(payload))
		if err != nil {
			t.Fatal(err)
		}
		for cut := range min(len(server), 300) {
			if _, _, n, err := cutFrame(server[:cut]); n != 0 || err != nil {
				t.Fatalf("%d bytes: cut after %d, it is taken for %d: %v", size, cut, n, err)
			}
		}
		op, got, n, err := cutFrame(append(server, "next"...))
		if err != nil || op != ws.OpText || n != len(server) || !bytes.Equal(got, payload) {
			t.Errorf("%d bytes: %v %d %v", size, op, n, err)
		}
	}
	if _, _, _, err := cutFrame(appendFrame(nil, ws.OpText, func(b []byte) []byte { return b })); err == nil {
		t.Error("a masked frame of the server passes")
	}
}

// TestContent: a content says who sent it and its number, and no byte of it can be
// another.
func TestContent(t *testing.T) {
	for _, size := range []int{MinContent, 100, MaxContent} {
		content := appendContent(nil, 4321, 1<<40, size)
		if len(content) != size {
			t.Errorf("%d bytes, not %d", len(content), size)
		}
		sender, number, ok := readContent(content)
		if !ok || sender != 4321 || number != 1<<40 {
			t.Errorf("read as %d, %d, %v", sender, number, ok)
		}
		for i := range content {
			other := bytes.Clone(content)
			other[i] ^= 1
			if s, n, ok := readContent(other); ok && s == 4321 && n == 1<<40 {
				t.Fatalf("byte %d of %d may be another", i, size)
			}
		}
		if _, _, ok := readContent(content[:size-1]); ok {
			t.Error("a shorter one passes")
		}
	}
}

// TestAppendsNothing: the frames of the load make no garbage.
func TestAppendsNothing(t *testing.T) {
	buf := make([]byte, 0, 4096)
	frame := []byte(`{"type":"incoming_message","message_id":"01","content":"` + string(appendContent(nil, 1, 2, 100)) + `","message_id_by_client":2}`)
	if n := testing.AllocsPerRun(100, func() {
		buf = appendFrame(buf[:0], ws.OpText, func(b []byte) []byte { return appendContent(b, 1, 2, 100) })
		if _, _, ok := readContent(textField(frame, fieldContent)); !ok || numberField(frame, fieldNumber) != 2 {
			t.Error("the frame is not read")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
