package socket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gobwas/ws"

	"roost/schemas"
)

// autobahnCase is one case of the Autobahn test suite, groups 1 to 7 and 10: what a
// client sends to a server that echoes messages, and what it gets.
type autobahnCase struct {
	id   string
	in   []byte
	want []string // "text x", "binary x", "pong x", "close 1000"
}

func frame(op ws.OpCode, fin bool, payload string) []byte {
	return sent(ws.NewFrame(op, fin, []byte(payload)))
}

func reservedBits(op ws.OpCode, rsv byte, payload string) []byte {
	f := ws.NewFrame(op, true, []byte(payload))
	f.Header.Rsv = rsv
	return sent(f)
}

func textFrame(payload string) []byte { return frame(ws.OpText, true, payload) }
func pingFrame(payload string) []byte { return frame(ws.OpPing, true, payload) }
func closeWith(code int, reason string) []byte {
	return frame(ws.OpClose, true, string([]byte{byte(code >> 8), byte(code)})+reason)
}

var normalClose = closeWith(1000, "")

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// fragments is a message in frames of n bytes each.
func fragments(op ws.OpCode, payload string, n int) (all []byte) {
	for i := 0; i < len(payload); i += n {
		kind := op
		if i > 0 {
			kind = ws.OpContinuation
		}
		all = append(all, frame(kind, i+n >= len(payload), payload[i:min(i+n, len(payload))])...)
	}
	return all
}

// echoed is a case of one message, in these frames.
func echoed(id, kind, payload string, in []byte) autobahnCase {
	if len(payload) > schemas.MaxFrameBytes {
		return autobahnCase{id, join(in, normalClose), []string{"close 1009"}}
	}
	return autobahnCase{id, join(in, normalClose), []string{kind + " " + payload, "close 1000"}}
}

func autobahn() (all []autobahnCase) {
	return slices.Concat(autobahnFraming(), autobahnPings(), autobahnReserved(), autobahnFragments(), autobahnText(), autobahnSequences(), autobahnCloses())
}

func autobahnFraming() (all []autobahnCase) {
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536, 65536, schemas.MaxFrameBytes, schemas.MaxFrameBytes + 1} {
		p := strings.Repeat("*", n)
		all = append(all, echoed(fmt.Sprint("1.1.", i+1), "text", p, textFrame(p)))
		p = strings.Repeat("\xfe", n)
		all = append(all, echoed(fmt.Sprint("1.2.", i+1), "binary", p, frame(ws.OpBinary, true, p)))
	}
	large, largest := strings.Repeat("*", 65536), strings.Repeat("*", schemas.MaxFrameBytes)
	return append(all, echoed("10.1.1", "text", large, fragments(ws.OpText, large, 1300)),
		echoed("10.1.1, 16 KiB", "text", largest, fragments(ws.OpText, largest, 1300)))
}

func autobahnPings() []autobahnCase {
	const strange = "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
	var ten []byte
	var tenPongs []string
	for i := range 10 {
		ten = append(ten, pingFrame(fmt.Sprint("payload-", i))...)
		tenPongs = append(tenPongs, fmt.Sprint("pong payload-", i))
	}
	long := strings.Repeat("\xfe", 125)
	unasked := frame(ws.OpPong, true, "unsolicited pong payload")
	return []autobahnCase{
		{"2.1", join(pingFrame(""), normalClose), []string{"pong ", "close 1000"}},
		{"2.2", join(pingFrame("Hello, world!"), normalClose), []string{"pong Hello, world!", "close 1000"}},
		{"2.3", join(pingFrame(strange), normalClose), []string{"pong " + strange, "close 1000"}},
		{"2.4, 2.6", join(pingFrame(long), normalClose), []string{"pong " + long, "close 1000"}},
		{"2.5", join(pingFrame(long+"\xfe"), normalClose), []string{"close 1002"}},
		{"2.7", join(frame(ws.OpPong, true, ""), normalClose), []string{"close 1000"}},
		{"2.8", join(unasked, normalClose), []string{"close 1000"}},
		{"2.9", join(unasked, pingFrame("ping payload"), normalClose), []string{"pong ping payload", "close 1000"}},
		{"2.10, 2.11", join(ten, normalClose), append(tenPongs, "close 1000")},
	}
}

func autobahnReserved() []autobahnCase {
	hello, ping := textFrame("Hello, world!"), pingFrame("")
	first := []string{"text Hello, world!", "close 1002"}
	refused := []string{"close 1002"}
	all := []autobahnCase{
		{"3.1", reservedBits(ws.OpText, 1, "Hello, world!"), refused},
		{"3.2", join(hello, reservedBits(ws.OpText, 2, "Hello, world!"), ping), first},
		{"3.3", join(hello, reservedBits(ws.OpText, 3, "Hello, world!"), ping), first},
		{"3.4", join(hello, reservedBits(ws.OpText, 4, "Hello, world!"), ping), first},
		{"3.5", reservedBits(ws.OpBinary, 5, "\x00\xff\xfe"), refused},
		{"3.6", reservedBits(ws.OpPing, 6, "Hello, world!"), refused},
		{"3.7", reservedBits(ws.OpClose, 7, "\x03\xe8"), refused},
	}
	for i, op := range []ws.OpCode{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		c := autobahnCase{fmt.Sprintf("4.%d.%d", 1+i/5, 1+i%5), frame(op, true, strings.Repeat("x", i%2)), refused}
		if i%5 >= 2 {
			c.in, c.want = join(hello, c.in, ping), first
		}
		all = append(all, c)
	}
	return all
}

func autobahnFragments() []autobahnCase {
	one, two := frame(ws.OpText, false, "fragment1"), frame(ws.OpContinuation, true, "fragment2")
	more, last := frame(ws.OpContinuation, false, "nothing to continue"), frame(ws.OpContinuation, true, "nothing to continue")
	hello, ping := textFrame("Hello, world!"), pingFrame("ping payload")
	refused := []string{"close 1002"}
	middle := func(s string) []byte { return frame(ws.OpContinuation, false, s) }
	return []autobahnCase{
		{"5.1", join(frame(ws.OpPing, false, "fragment1"), two), refused},
		{"5.2", join(frame(ws.OpPong, false, "fragment1"), two), refused},
		{"5.3 to 5.5", join(one, two, normalClose), []string{"text fragment1fragment2", "close 1000"}},
		{"5.6 to 5.8", join(one, ping, two, normalClose), []string{"pong ping payload", "text fragment1fragment2", "close 1000"}},
		{"5.9 to 5.11", join(last, hello), refused},
		{"5.12 to 5.14", join(more, hello), refused},
		{"5.15", join(one, two, more, hello), []string{"text fragment1fragment2", "close 1002"}},
		{"5.16", join(more, one, two, more, one, two), refused},
		{"5.17", join(last, one, two, last, one, two), refused},
		{"5.18", join(one, frame(ws.OpText, true, "fragment2")), refused},
		{"5.19, 5.20", join(one, middle("fragment2"), pingFrame("ping 1"), middle("fragment3"), middle("fragment4"), pingFrame("ping 2"),
			frame(ws.OpContinuation, true, "fragment5"), normalClose),
			[]string{"pong ping 1", "pong ping 2", "text fragment1fragment2fragment3fragment4fragment5", "close 1000"}},
	}
}

func autobahnText() []autobahnCase {
	const hello, kosme, broken = "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "κόσμε\xed\xa0\x80edited"
	wrong := []string{"close 1007"}
	parts := func(middle string) []byte {
		return join(frame(ws.OpText, false, kosme), frame(ws.OpContinuation, false, middle), frame(ws.OpContinuation, true, "edited"))
	}
	return []autobahnCase{
		echoed("6.1.1", "text", "", textFrame("")),
		echoed("6.1.2", "text", "", join(frame(ws.OpText, false, ""), frame(ws.OpContinuation, false, ""), frame(ws.OpContinuation, true, ""))),
		echoed("6.1.3", "text", "middle frame payload",
			join(frame(ws.OpText, false, ""), frame(ws.OpContinuation, false, "middle frame payload"), frame(ws.OpContinuation, true, ""))),
		echoed("6.2.1", "text", hello, textFrame(hello)),
		echoed("6.2.2", "text", hello, fragments(ws.OpText, hello, 13)),
		echoed("6.2.3", "text", hello, fragments(ws.OpText, hello, 1)),
		echoed("6.2.4", "text", kosme, fragments(ws.OpText, kosme, 1)),
		{"6.3.1", textFrame(broken), wrong},
		{"6.3.2", fragments(ws.OpText, broken, 1), wrong},
		{"6.4.1", parts("\xf4\x90\x80\x80"), wrong},
		{"6.4.2", join(frame(ws.OpText, false, kosme+"\xf4"), frame(ws.OpContinuation, false, "\x90"), frame(ws.OpContinuation, true, "\x80\x80edited")), wrong},
		{"6.4.3", textFrame(kosme + "\xf4\x90\x80\x80edited"), wrong},
		{"6.4.4", textFrame(kosme + "\xf4" + "\x90" + "edited"), wrong},
	}
}

// sequences of UTF-8, by group of the suite: "!" begins one that is not valid.
var sequences = map[string][]string{
	"6.5":  {"hello$world", "hello¢world", "hello€world", "hello𤭢world", "κόσμε"},
	"6.6":  {"!\xce", "κ", "!κ\xe1", "!κ\xe1\xbd", "κό", "!κό\xcf", "κόσ", "!κόσ\xce", "κόσμ", "!κόσμ\xce", "κόσμε"},
	"6.7":  {"\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"},
	"6.8":  {"!\xf8\x88\x80\x80\x80", "!\xfc\x84\x80\x80\x80\x80"},
	"6.9":  {"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"},
	"6.10": {"!\xf7\xbf\xbf\xbf", "!\xfb\xbf\xbf\xbf\xbf", "!\xfd\xbf\xbf\xbf\xbf\xbf"},
	"6.11": {"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf", "!\xf4\x90\x80\x80"},
	"6.12": {"!\x80", "!\xbf", "!\x80\xbf", "!\x80\xbf\x80", "!\x80\xbf\x80\xbf", "!\x80\xbf\x80\xbf\x80", "!\x80\xbf\x80\xbf\x80\xbf", "!" + byteRange(0x80, 0xbe, "")},
	"6.13": {"!" + byteRange(0xc0, 0xdf, " "), "!" + byteRange(0xe0, 0xef, " "), "!" + byteRange(0xf0, 0xf7, " "), "!" + byteRange(0xf8, 0xfb, " "), "!\xfc \xfd "},
	"6.14": {"!\xc0", "!\xe0\x80", "!\xf0\x80\x80", "!\xf8\x80\x80\x80", "!\xfc\x80\x80\x80\x80", "!\xdf", "!\xef\xbf", "!\xf7\xbf\xbf", "!\xfb\xbf\xbf\xbf", "!\xfd\xbf\xbf\xbf\xbf"},
	"6.15": {"!\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf\xfb\xbf\xbf\xbf\xfd\xbf\xbf\xbf\xbf"},
	"6.16": {"!\xfe", "!\xff", "!\xfe\xfe\xff\xff"},
	"6.17": {"!\xc0\xaf", "!\xe0\x80\xaf", "!\xf0\x80\x80\xaf", "!\xf8\x80\x80\x80\xaf", "!\xfc\x80\x80\x80\x80\xaf"},
	"6.18": {"!\xc1\xbf", "!\xe0\x9f\xbf", "!\xf0\x8f\xbf\xbf", "!\xf8\x87\xbf\xbf\xbf", "!\xfc\x83\xbf\xbf\xbf\xbf"},
	"6.19": {"!\xc0\x80", "!\xe0\x80\x80", "!\xf0\x80\x80\x80", "!\xf8\x80\x80\x80\x80", "!\xfc\x80\x80\x80\x80\x80"},
	"6.20": {"!\xed\xa0\x80", "!\xed\xad\xbf", "!\xed\xae\x80", "!\xed\xaf\xbf", "!\xed\xb0\x80", "!\xed\xbe\x80", "!\xed\xbf\xbf"},
	"6.21": {"!\xed\xa0\x80\xed\xb0\x80", "!\xed\xa0\x80\xed\xbf\xbf", "!\xed\xad\xbf\xed\xb0\x80", "!\xed\xad\xbf\xed\xbf\xbf", "!\xed\xae\x80\xed\xb0\x80",
		"!\xed\xae\x80\xed\xbf\xbf", "!\xed\xaf\xbf\xed\xb0\x80", "!\xed\xaf\xbf\xed\xbf\xbf"},
	"6.22": noncharacters(),
	"6.23": {"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"},
}

func byteRange(from, to int, after string) string {
	var b strings.Builder
	for c := from; c <= to; c++ {
		b.WriteByte(byte(c))
		b.WriteString(after)
	}
	return b.String()
}

// noncharacters are the last two code points of each plane.
func noncharacters() (all []string) {
	for plane := range rune(17) {
		all = append(all, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	return all
}

func autobahnSequences() (all []autobahnCase) {
	for group, list := range sequences {
		for i, payload := range list {
			id := fmt.Sprintf("%s.%d", group, i+1)
			if wrong, ok := strings.CutPrefix(payload, "!"); ok {
				all = append(all, autobahnCase{id, textFrame(wrong), []string{"close 1007"}})
			} else {
				all = append(all, echoed(id, "text", payload, textFrame(payload)))
			}
		}
	}
	return all
}

func autobahnCloses() []autobahnCase {
	normal, refused := []string{"close 1000"}, []string{"close 1002"}
	hello, large := textFrame("Hello World!"), strings.Repeat("BAsd7&jh23", 26<<10)
	all := []autobahnCase{
		{"7.1.1", join(hello, normalClose), []string{"text Hello World!", "close 1000"}},
		{"7.1.2", join(normalClose, normalClose), normal},
		{"7.1.3", join(normalClose, pingFrame("")), normal},
		{"7.1.4", join(normalClose, hello), normal},
		{"7.1.5", join(frame(ws.OpText, false, "fragment1"), normalClose, frame(ws.OpContinuation, true, "fragment2")), normal},
		{"7.1.6", join(textFrame(large), hello, normalClose, pingFrame("")), []string{"close 1009"}},
		{"7.3.1", frame(ws.OpClose, true, ""), []string{"close"}},
		{"7.3.2", frame(ws.OpClose, true, "a"), refused},
		{"7.3.3", normalClose, normal},
		{"7.3.4", closeWith(1000, "Hello World!"), normal},
		{"7.3.5", closeWith(1000, strings.Repeat("*", 123)), normal},
		{"7.3.6", closeWith(1000, strings.Repeat("*", 124)), refused},
		{"7.5.1", closeWith(1000, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64"), []string{"close 1007"}},
	}
	for i, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999, 1012, 1013, 1014} {
		all = append(all, autobahnCase{fmt.Sprint("7.7.", i+1), closeWith(code, ""), []string{fmt.Sprint("close ", code)}})
	}
	for i, code := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 1015} {
		all = append(all, autobahnCase{fmt.Sprint("7.9.", i+1), closeWith(code, ""), refused})
	}
	return append(all, autobahnCase{"7.13.1", closeWith(5000, ""), refused}, autobahnCase{"7.13.2", closeWith(65535, ""), refused})
}

// TestAutobahn echoes what each case of the suite sends, whole and byte by byte.
// Messages over 16 KiB are answered with 1009.
func TestAutobahn(t *testing.T) {
	for _, c := range autobahn() {
		t.Run(c.id, func(t *testing.T) {
			ways := []io.Reader{bytes.NewReader(c.in), iotest.HalfReader(bytes.NewReader(c.in))}
			if len(c.in) < 4096 {
				ways = append(ways, iotest.OneByteReader(bytes.NewReader(c.in)))
			}
			for way, in := range ways {
				if got := echo(t, in); !slices.Equal(got, c.want) {
					t.Errorf("way %d: got %.200q, want %.200q", way, got, c.want)
				}
			}
		})
	}
}

// echo sends every message back until the WebSocket ends, and returns what was written.
func echo(t *testing.T, in io.Reader) (got []string) {
	t.Helper()
	s, conn := socketOn(in)
	for {
		kind, payload, err := s.Read(context.Background())
		if closed := (ClosedError{}); errors.As(err, &closed) {
			_ = s.Close(closed.Code, "")
		}
		if err != nil {
			break
		}
		if err := s.writeFrame(kind, payload); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range conn.Frames(t) {
		switch f.Header.OpCode {
		case ws.OpText:
			got = append(got, "text "+string(f.Payload))
		case ws.OpBinary:
			got = append(got, "binary "+string(f.Payload))
		case ws.OpPong:
			got = append(got, "pong "+string(f.Payload))
		case ws.OpClose:
			if code, _ := ws.ParseCloseFrameData(f.Payload); len(f.Payload) > 0 {
				got = append(got, fmt.Sprint("close ", code))
			} else {
				got = append(got, "close")
			}
		}
	}
	return got
}
