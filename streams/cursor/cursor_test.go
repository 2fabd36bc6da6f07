package cursor

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

var positions = rapid.Custom(func(t *rapid.T) Position {
	p := Position{UpTo: rapid.Uint64Range(0, maxSequence/2).Draw(t, "pos")}
	last := p.UpTo
	for range rapid.IntRange(0, 20).Draw(t, "sent") {
		last += rapid.Uint64Range(1, 1<<40).Draw(t, "step")
		p.Sent = append(p.Sent, last)
	}
	return p
})

func TestCursorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := positions.Draw(t, "position")
		k := Key(rapid.Uint32().Draw(t, "key"))
		c := k.Encode(p)
		got, err := k.Decode(c)
		if err != nil || got.UpTo != p.UpTo || !slices.Equal(got.Sent, p.Sent) {
			t.Fatalf("%v came back as %v: %v", p, got, err)
		}
		if strings.ContainsAny(string(c), `"\ <>&+/`) {
			t.Fatalf("%q would have to be escaped in a frame", c)
		}
		if _, err := (k + 1).Decode(c); !errors.Is(err, ErrForeign) {
			t.Fatalf("of another inbox: %v", err)
		}
		for _, seq := range p.Sent {
			if !got.Has(seq) || got.Has(seq+1) && !slices.Contains(p.Sent, seq+1) {
				t.Fatalf("%v has not, or has too much, of %d", got, seq)
			}
		}
		if !got.Has(p.UpTo) || !got.Has(0) {
			t.Fatalf("%v has not what lies before it", got)
		}
	})
}

// A cursor says at most maxSent entries; the rest it does not claim.
func TestCursorIsBounded(t *testing.T) {
	p := Position{UpTo: 10}
	for i := range uint64(3 * maxSent) {
		p.Sent = append(p.Sent, 20+2*i)
	}
	got, err := Key(1).Decode(Key(1).Encode(p))
	if err != nil || !slices.Equal(got.Sent, p.Sent[:maxSent]) {
		t.Fatalf("%d entries came back: %v", len(got.Sent), err)
	}
}

func TestCursorKeys(t *testing.T) {
	a := subject.Address{User: "alice", Device: testDevice}
	k := NewKey(a, 1)
	for _, other := range []Key{NewKey(subject.Address{User: "alice", Device: otherDev}, 1), NewKey(subject.Address{User: "bob", Device: testDevice}, 1), NewKey(a, 2)} {
		if other == k {
			t.Error("another device, user or life of the stream has the same key")
		}
	}
}

func TestCursorTampered(t *testing.T) {
	const key = Key(0x01020304)
	raw := func(b ...byte) schemas.Cursor { return schemas.Cursor(base64.RawURLEncoding.EncodeToString(b)) }
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}
	for name, c := range map[string]schemas.Cursor{
		"empty":            "",
		"no base64":        "a cursor",
		"padded":           key.Encode(Position{UpTo: 300}) + "=",
		"only a key":       raw(version, 1, 2, 3, 4),
		"another version":  raw(version+1, 1, 2, 3, 4, 10),
		"half a number":    raw(version, 1, 2, 3, 4, 0x80),
		"the same twice":   raw(version, 1, 2, 3, 4, 10, 0),
		"beyond any":       raw(append([]byte{version, 1, 2, 3, 4}, huge...)...),
		"sum beyond any":   raw(append([]byte{version, 1, 2, 3, 4, 10}, huge...)...),
		"too many":         raw(append([]byte{version, 1, 2, 3, 4, 10}, slices.Repeat([]byte{1}, maxSent+1)...)...),
		"number too large": raw(append([]byte{version, 1, 2, 3, 4}, slices.Repeat([]byte{0xff}, 11)...)...),
	} {
		if p, err := key.Decode(c); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func FuzzCursor(f *testing.F) {
	const key = Key(7)
	f.Add(string(key.Encode(Position{UpTo: 4711, Sent: []uint64{4713, 4720}})))
	f.Add(string(key.Encode(Position{})))
	f.Add("AQAAAAc=")
	f.Fuzz(func(t *testing.T, c string) {
		p, err := key.Decode(schemas.Cursor(c))
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrForeign) || p.UpTo != 0 || p.Sent != nil {
				t.Fatalf("%v, %v", p, err)
			}
			return
		}
		last := p.UpTo
		for _, seq := range p.Sent {
			if seq <= last {
				t.Fatalf("%v does not ascend", p)
			}
			last = seq
		}
		if last > maxSequence || len(p.Sent) > maxSent {
			t.Fatalf("%v is out of bounds", p)
		}
		if again, err := key.Decode(key.Encode(p)); err != nil || again.UpTo != p.UpTo || !slices.Equal(again.Sent, p.Sent) {
			t.Fatalf("%v came back as %v: %v", p, again, err)
		}
	})
}

const (
	testDevice schemas.DeviceID = "01K73S8AC0DEV1CEDEV1CEDEV1"
	otherDev   schemas.DeviceID = "01K73S8AC0DEV1CEDEV1CEDEV2"
)
