package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"roost/schemas"
)

// longIDs returns n ids of 128 bytes.
func longIDs(n int) []schemas.UserID {
	ids := make([]schemas.UserID, n)
	for i := range ids {
		ids[i] = schemas.UserID(fmt.Sprintf("%0128d", i))
	}
	return ids
}

// list reads the frames of one presence list.
func (p *peer) list(n, limit int) (ids []schemas.UserID, parts int) {
	p.t.Helper()
	for ; len(ids) < n; parts++ {
		f := want[*schemas.PresenceSubscribe](p)
		if size := len(schemas.EncodeFrame(f)); size > limit {
			p.t.Errorf("a frame of %d bytes, and the limit is %d", size, limit)
		}
		if f.Add != (parts > 0) {
			p.t.Errorf("part %d has add %t", parts, f.Add)
		}
		ids = append(ids, f.UserIDs...)
	}
	return ids, parts
}

// TestLongPresenceList: the client splits 500 ids of 128 bytes into frames that the server accepts,
// on each connection.
func TestLongPresenceList(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		ids := longIDs(schemas.MaxPresenceUsers)
		if err := c.SubscribePresence(ids); err != nil {
			t.Fatal(err)
		}
		got, parts := p.list(len(ids), schemas.MaxFrameBytes)
		if !slices.Equal(got, ids) || parts > 10 {
			t.Errorf("%d ids in %d parts", len(got), parts)
		}
		p.close(1011)
		p = srv.next()
		p.welcome(schemas.Welcome{})
		if again, _ := p.list(len(ids), schemas.MaxFrameBytes); !slices.Equal(again, ids) {
			t.Errorf("%d ids", len(again))
		}
		p.quiet()
		closeClient(t, c)
	})
}

// TestFrameTooBigIsNotRetried: after a server or proxy with a smaller limit closed the connection
// with 1009, the client reconnects and writes no frame of that size again.
func TestFrameTooBigIsNotRetried(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		content := strings.Repeat("\x01", schemas.MaxContentRunes) // six bytes each
		long := sendLater(c, t.Context(), content)
		size := len(schemas.EncodeFrame(want[*schemas.SendMessage](p)))
		p.close(schemas.CloseFrameTooBig)
		if o := <-long; Code(o.err) != schemas.CodeBadFrame {
			t.Errorf("the send ended with %v", o.err)
		}
		p = srv.next()
		p.welcome(schemas.Welcome{})
		p.quiet()
		if _, err := c.Send(t.Context(), schemas.Participant{User: bob}, content, nil); Code(err) != schemas.CodeBadFrame {
			t.Errorf("another frame of that size: %v", err)
		}
		p.quiet()
		ids := longIDs(100)
		if err := c.SubscribePresence(ids); err != nil {
			t.Fatal(err)
		}
		if got, parts := p.list(len(ids), size-1); !slices.Equal(got, ids) || parts < 2 {
			t.Errorf("%d ids in %d parts", len(got), parts)
		}
		short := sendLater(c, t.Context(), "short")
		p.received(want[*schemas.SendMessage](p))
		if o := <-short; o.err != nil {
			t.Error(o.err)
		}
		closeClient(t, c)
	})
}

// TestHelloTooBig: if the cursor makes the hello too large, the client leaves it out.
func TestHelloTooBig(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		opts.Store = &MemoryStore{state: State{DeviceID: phone, Cursor: schemas.Cursor(strings.Repeat("x", 17<<10))}}
		done := make(chan error, 1)
		var c *Client
		go func() {
			var err error
			c, err = Connect(t.Context(), opts)
			done <- err
		}()
		p := srv.next()
		if hello := want[*schemas.Hello](p); hello.ResumeAfter == "" {
			t.Error("hello has no cursor")
		}
		p.close(schemas.CloseFrameTooBig)
		p = srv.next()
		if hello := p.welcome(schemas.Welcome{}); hello.ResumeAfter != "" {
			t.Error("hello has the cursor again")
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		closeClient(t, c)
	})
}

// TestServerRefusesSmallFrames: the client does not reconnect to a server that refuses small frames.
func TestServerRefusesSmallFrames(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		done := sendLater(c, t.Context(), "short")
		want[*schemas.SendMessage](p)
		p.close(schemas.CloseFrameTooBig)
		if o := <-done; !errors.As(o.err, new(*UnknownOutcomeError)) || !errors.As(o.err, new(*CloseError)) {
			t.Errorf("the send ended with %v", o.err)
		}
		<-c.done
		closeClient(t, c)
	})
}

func TestPresenceFrames(t *testing.T) {
	for _, n := range []int{0, 1, 99, 500} {
		for _, limit := range []int{300, 1 << 10, 16 << 10, 1 << 20} {
			frames, err := presenceFrames(longIDs(n), limit)
			if err != nil || len(frames) == 0 {
				t.Fatalf("%d ids, %d bytes: %d frames, %v", n, limit, len(frames), err)
			}
			var ids []schemas.UserID
			for i, data := range frames {
				f, _, e := schemas.DecodeClientFrame(data)
				if e != nil || len(data) > limit || f.(*schemas.PresenceSubscribe).Add != (i > 0) {
					t.Fatalf("%d ids, %d bytes: %d bytes, %v", n, limit, len(data), e)
				}
				ids = append(ids, f.(*schemas.PresenceSubscribe).UserIDs...)
			}
			if !slices.Equal(ids, longIDs(n)) {
				t.Errorf("%d ids, %d bytes: %d ids", n, limit, len(ids))
			}
		}
	}
	if _, err := presenceFrames(longIDs(2), 100); Code(err) != schemas.CodeBadFrame {
		t.Errorf("no id fits: %v", err)
	}
}

// Where the frame of a cursor would be too large, each message is acknowledged alone.
func TestAckOfALargeCursor(t *testing.T) {
	b := newInbox(State{Cursor: schemas.Cursor(strings.Repeat("x", 2000))})
	for i := range coalesceAbove + 5 {
		b.due = append(b.due, dueAck{id: messageID(i), of: &delivery{passed: true}})
	}
	due := slices.Clone(b.due)
	if frames := b.takeAcks(1, 1000); len(frames) != len(due) {
		t.Errorf("%d frames, not one for each of %d messages", len(frames), len(due))
	}
	b.due = due
	if frames := b.takeAcks(1, schemas.MaxFrameBytes); len(frames) != 1 {
		t.Errorf("%d frames, not the one of the cursor", len(frames))
	}
}
