package streams

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"roost/schemas"
	"roost/streams/subject"
)

var positions = rapid.Custom(func(t *rapid.T) position {
	p := position{pos: rapid.Uint64Range(0, maxSequence/2).Draw(t, "pos")}
	last := p.pos
	for range rapid.IntRange(0, 20).Draw(t, "sent") {
		last += rapid.Uint64Range(1, 1<<40).Draw(t, "step")
		p.sent = append(p.sent, last)
	}
	return p
})

func TestCursorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := positions.Draw(t, "position")
		k := cursorKey(rapid.Uint32().Draw(t, "key"))
		c := k.encode(p)
		got, err := k.decode(c)
		if err != nil || got.pos != p.pos || !slices.Equal(got.sent, p.sent) {
			t.Fatalf("%v came back as %v: %v", p, got, err)
		}
		if strings.ContainsAny(string(c), `"\ <>&+/`) {
			t.Fatalf("%q would have to be escaped in a frame", c)
		}
		if _, err := (k + 1).decode(c); !errors.Is(err, errForeignCursor) || !IsBadCursor(err) {
			t.Fatalf("of another inbox: %v", err)
		}
		for _, seq := range p.sent {
			if !got.has(seq) || got.has(seq+1) && !slices.Contains(p.sent, seq+1) {
				t.Fatalf("%v has not, or has too much, of %d", got, seq)
			}
		}
		if !got.has(p.pos) || !got.has(0) {
			t.Fatalf("%v has not what lies before it", got)
		}
	})
}

// A cursor says at most maxCursorSent entries; the rest it does not claim.
func TestCursorIsBounded(t *testing.T) {
	p := position{pos: 10}
	for i := range uint64(3 * maxCursorSent) {
		p.sent = append(p.sent, 20+2*i)
	}
	got, err := cursorKey(1).decode(cursorKey(1).encode(p))
	if err != nil || !slices.Equal(got.sent, p.sent[:maxCursorSent]) {
		t.Fatalf("%d entries came back: %v", len(got.sent), err)
	}
}

func TestCursorKeys(t *testing.T) {
	a := subject.Address{User: "alice", Device: testDevice}
	k := newCursorKey(a, 1)
	for _, other := range []cursorKey{newCursorKey(subject.Address{User: "alice", Device: otherDev}, 1), newCursorKey(subject.Address{User: "bob", Device: testDevice}, 1), newCursorKey(a, 2)} {
		if other == k {
			t.Error("another device, user or life of the stream has the same key")
		}
	}
}

func TestCursorTampered(t *testing.T) {
	const key = cursorKey(0x01020304)
	raw := func(b ...byte) schemas.Cursor { return schemas.Cursor(base64.RawURLEncoding.EncodeToString(b)) }
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}
	for name, c := range map[string]schemas.Cursor{
		"empty":            "",
		"no base64":        "a cursor",
		"padded":           key.encode(position{pos: 300}) + "=",
		"only a key":       raw(cursorVersion, 1, 2, 3, 4),
		"another version":  raw(cursorVersion+1, 1, 2, 3, 4, 10),
		"half a number":    raw(cursorVersion, 1, 2, 3, 4, 0x80),
		"the same twice":   raw(cursorVersion, 1, 2, 3, 4, 10, 0),
		"beyond any":       raw(append([]byte{cursorVersion, 1, 2, 3, 4}, huge...)...),
		"sum beyond any":   raw(append([]byte{cursorVersion, 1, 2, 3, 4, 10}, huge...)...),
		"too many":         raw(append([]byte{cursorVersion, 1, 2, 3, 4, 10}, slices.Repeat([]byte{1}, maxCursorSent+1)...)...),
		"number too large": raw(append([]byte{cursorVersion, 1, 2, 3, 4}, slices.Repeat([]byte{0xff}, 11)...)...),
	} {
		if p, err := key.decode(c); !errors.Is(err, errBadCursor) || !IsBadCursor(err) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func FuzzCursor(f *testing.F) {
	const key = cursorKey(7)
	f.Add(string(key.encode(position{pos: 4711, sent: []uint64{4713, 4720}})))
	f.Add(string(key.encode(position{})))
	f.Add("AQAAAAc=")
	f.Fuzz(func(t *testing.T, c string) {
		p, err := key.decode(schemas.Cursor(c))
		if err != nil {
			if !IsBadCursor(err) || p.pos != 0 || p.sent != nil {
				t.Fatalf("%v, %v", p, err)
			}
			return
		}
		last := p.pos
		for _, seq := range p.sent {
			if seq <= last {
				t.Fatalf("%v does not ascend", p)
			}
			last = seq
		}
		if last > maxSequence || len(p.sent) > maxCursorSent {
			t.Fatalf("%v is out of bounds", p)
		}
		if again, err := key.decode(key.encode(p)); err != nil || again.pos != p.pos || !slices.Equal(again.sent, p.sent) {
			t.Fatalf("%v came back as %v: %v", p, again, err)
		}
	})
}

const (
	testDevice schemas.DeviceID = "01K73S8AC0DEV1CEDEV1CEDEV1"
	otherDev   schemas.DeviceID = "01K73S8AC0DEV1CEDEV1CEDEV2"
)
