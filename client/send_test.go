package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roost/schemas"
)

func TestSend(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		done := make(chan outcome, 1)
		go func() {
			r, err := c.Send(t.Context(), schemas.Participant{User: bob}, "hello", &SendOptions{ReplyTo: messageID(3)})
			done <- outcome{r, err}
		}()
		f := want[*schemas.SendMessage](p)
		if f.ReceiverID != bob || f.Content != "hello" || f.MessageIDByClient != 1 || f.ReplyTo != messageID(3) || f.Timestamp != schemas.Now() {
			t.Errorf("send_message: %+v", f)
		}
		p.received(f)
		if o := <-done; o.err != nil || o.received.MessageID != messageID(1001) || o.received.MessageIDByClient != 1 {
			t.Errorf("Send: %+v", o)
		}
		p.received(f) // a second answer changes nothing
		if left := c.Outstanding(); len(left) != 0 {
			t.Errorf("Outstanding: %+v", left)
		}
		closeClient(t, c)
	})
}

func TestSendValidatesLocally(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		to := schemas.Participant{User: bob}
		for _, test := range []struct {
			to      schemas.Participant
			content string
			code    schemas.Code
		}{
			{to, "", schemas.CodeInvalidArgument},
			{to, strings.Repeat("ä", schemas.MaxContentRunes+1), schemas.CodeContentTooLong},
			{to, "\xff", schemas.CodeInvalidArgument},
			{schemas.Participant{}, "x", schemas.CodeInvalidArgument},
			{schemas.Participant{User: bob, Group: "g-01JD000000000000000000000A"}, "x", schemas.CodeInvalidArgument},
		} {
			_, err := c.Send(t.Context(), test.to, test.content, nil)
			var refused *schemas.Error
			if !errors.As(err, &refused) || refused.Code != test.code {
				t.Errorf("Send(%v, %.20q): %v", test.to, test.content, err)
			}
		}
		p.quiet()
		closeClient(t, c)
	})
}

// TestLongestSendFits: the longest content in its longest encoding fits into a frame.
func TestLongestSendFits(t *testing.T) {
	s := newSend(Outgoing{ReceiverID: schemas.UserID(strings.Repeat("x", 128)),
		Content: strings.Repeat("\x01", schemas.MaxContentRunes), MessageIDByClient: 1 << 62,
		Timestamp: 1 << 62, ReplyTo: messageID(1)})
	if len(s.encoded) > schemas.MaxFrameBytes {
		t.Errorf("the frame has %d bytes", len(s.encoded))
	}
}

func TestSendContinuesNumbers(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		opts.Store = &MemoryStore{state: State{LastSend: 10}}
		c, p := srv.connect(opts)
		done := sendLater(c, t.Context(), "the store knew 10")
		f := want[*schemas.SendMessage](p)
		if f.MessageIDByClient != 11 {
			t.Errorf("number %d, instead of 11", f.MessageIDByClient)
		}
		p.received(f)
		<-done
		p.close(1011)
		p = srv.next()
		p.welcome(schemas.Welcome{LastMessageIDByClient: 40})
		synctest.Wait()
		done = sendLater(c, t.Context(), "the server knew 40")
		if f = want[*schemas.SendMessage](p); f.MessageIDByClient != 41 {
			t.Errorf("number %d, instead of 41", f.MessageIDByClient)
		}
		p.received(f)
		<-done
		closeClient(t, c)
	})
}

// TestSendWithoutNumbersLeft: the server refuses larger numbers, and its error frame could not
// name the send.
func TestSendWithoutNumbersLeft(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		opts.Store = &MemoryStore{state: State{LastSend: schemas.MaxNumber}}
		c, _ := srv.connect(opts)
		_, err := c.Send(t.Context(), schemas.Participant{User: bob}, "x", nil)
		var refused *schemas.Error
		if !errors.As(err, &refused) || refused.Field != "message_id_by_client" || len(c.Outstanding()) != 0 {
			t.Errorf("Send: %v", err)
		}
		closeClient(t, c)
	})
}

func TestRetryAfterLostConnection(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		var done []<-chan outcome
		var first []string
		for i := range 3 {
			done = append(done, sendLater(c, t.Context(), fmt.Sprint("message ", i)))
			first = append(first, string(schemas.EncodeFrame(want[*schemas.SendMessage](p))))
		}
		p.close(1011)
		p = srv.next()
		p.welcome(schemas.Welcome{LastMessageIDByClient: 1}) // the server stored one of them
		for i := range 3 {
			f := want[*schemas.SendMessage](p)
			if again := string(schemas.EncodeFrame(f)); again != first[i] {
				t.Errorf("again: %s, at first: %s", again, first[i])
			}
			p.received(f)
			if o := <-done[i]; o.err != nil || o.received.MessageID != messageID(1001+i) {
				t.Errorf("Send: %+v", o)
			}
		}
		p.quiet()
		closeClient(t, c)
	})
}

func TestRetryAfterUnavailable(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		done := sendLater(c, t.Context(), "x")
		want[*schemas.SendMessage](p)
		for _, pause := range []int64{1500, 250, 0} {
			p.send(&schemas.ErrorFrame{Code: schemas.CodeUnavailable, Message: "m", MessageIDByClient: 1, RetryAfterMS: pause})
			asked := time.Now()
			if f := want[*schemas.SendMessage](p); f.MessageIDByClient != 1 || f.Content != "x" {
				t.Errorf("again: %+v", f)
			}
			expected := time.Duration(pause) * time.Millisecond
			if pause == 0 {
				expected = retryAfter
			}
			if waited := time.Since(asked); waited != expected {
				t.Errorf("waited %v, instead of %v", waited, expected)
			}
		}
		// Another send does not wait for it.
		p.send(&schemas.ErrorFrame{Code: schemas.CodeUnavailable, Message: "m", MessageIDByClient: 1, RetryAfterMS: 60_000})
		synctest.Wait()
		other := sendLater(c, t.Context(), "y")
		f := want[*schemas.SendMessage](p)
		p.received(f)
		if o := <-other; o.err != nil || f.MessageIDByClient != 2 {
			t.Errorf("the other send: %+v %+v", f, o)
		}
		p.received(want[*schemas.SendMessage](p))
		if o := <-done; o.err != nil {
			t.Errorf("Send: %+v", o)
		}
		closeClient(t, c)
	})
}

func TestRateLimitHoldsAllSends(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		one := sendLater(c, t.Context(), "one")
		want[*schemas.SendMessage](p)
		p.send(&schemas.ErrorFrame{Code: schemas.CodeRateLimited, Message: "m", MessageIDByClient: 1, RetryAfterMS: 2000})
		synctest.Wait()
		began := time.Now()
		two := sendLater(c, t.Context(), "two")
		for n := range 2 {
			f := want[*schemas.SendMessage](p)
			if int(f.MessageIDByClient) != n+1 || time.Since(began) != 2*time.Second {
				t.Errorf("send %d after %v", f.MessageIDByClient, time.Since(began))
			}
			p.received(f)
		}
		if a, b := <-one, <-two; a.err != nil || b.err != nil {
			t.Errorf("Send: %v, %v", a.err, b.err)
		}
		closeClient(t, c)
	})
}

func TestSendRefused(t *testing.T) {
	for _, code := range []schemas.Code{schemas.CodeConflict, schemas.CodeUnknownReceiver, schemas.CodeNotAMember,
		schemas.CodeInboxFull, schemas.CodeContentTooLong, schemas.CodeInternal, schemas.CodeForbidden} {
		bubble(t, func(t *testing.T, srv *script) {
			c, p := srv.connect(srv.options())
			done := sendLater(c, t.Context(), "x")
			want[*schemas.SendMessage](p)
			p.send(&schemas.ErrorFrame{Code: code, Message: "No.", MessageIDByClient: 1})
			o := <-done
			var refused *schemas.Error
			if !errors.As(o.err, &refused) || refused.Code != code || refused.Message != "No." {
				t.Errorf("Send: %v", o.err)
			}
			if _, err := c.Resend(t.Context(), 1); !errors.As(err, &refused) {
				t.Errorf("Resend: %v", err)
			}
			closeClient(t, c)
		})
	}
}

func TestSendUnknownOutcome(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		done := sendLater(c, ctx, "x")
		f := want[*schemas.SendMessage](p)
		o := <-done
		unknown, ok := isUnknown(o.err)
		if !ok || unknown.Number != 1 || !errors.Is(o.err, context.DeadlineExceeded) {
			t.Fatalf("Send: %v", o.err)
		}
		if left := c.Outstanding(); len(left) != 1 || *left[0].frame().(*schemas.SendMessage) != *f {
			t.Errorf("Outstanding: %+v", left)
		}

		// The client retries it although no call waits, and keeps its result.
		p.close(1011)
		p = srv.next()
		p.welcome(schemas.Welcome{})
		again := want[*schemas.SendMessage](p)
		if *again != *f {
			t.Errorf("again: %+v, at first: %+v", again, f)
		}
		p.received(again)
		synctest.Wait()
		if r, err := c.Resend(t.Context(), 1); err != nil || r.MessageID != messageID(1001) {
			t.Errorf("Resend: %+v, %v", r, err)
		}
		if _, err := c.Resend(t.Context(), 2); !errors.Is(err, ErrNotOutstanding) {
			t.Errorf("Resend of an unknown number: %v", err)
		}
		closeClient(t, c)
	})
}

func TestSendNeverWrittenIsWithdrawn(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		store := new(MemoryStore)
		opts.Store, opts.BackoffMin = store, time.Minute
		opts.BackoffMax = time.Minute
		c, p := srv.connect(opts)
		p.close(1011)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Send(ctx, schemas.Participant{User: bob}, "x", nil)
		if _, unknown := isUnknown(err); unknown || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Send: %v", err)
		}
		if state, _ := store.Load(); len(state.Outstanding) != 0 || state.LastSend != 1 {
			t.Errorf("stored: %+v", state)
		}
		p = srv.next()
		p.welcome(schemas.Welcome{})
		p.quiet()
		closeClient(t, c)
	})
}

// TestWindowIsASpan: no number is a whole window beyond the oldest outstanding one, because the
// server could have evicted the send record of that one.
func TestWindowIsASpan(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		done := make(chan *Client)
		go func() {
			c, err := Connect(t.Context(), opts)
			if err != nil {
				t.Error(err)
			}
			done <- c
		}()
		p := srv.next()
		p.welcome(schemas.Welcome{MaxOutstandingSends: 4})
		c := <-done
		var sends [6]<-chan outcome
		var frames [6]*schemas.SendMessage
		for i := range 4 {
			sends[i] = sendLater(c, t.Context(), fmt.Sprint(i))
			frames[i] = want[*schemas.SendMessage](p)
		}
		sends[4] = sendLater(c, t.Context(), "4")
		p.quiet()
		p.received(frames[1]) // fewer sends are outstanding, but the span is the same
		<-sends[1]
		p.quiet()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Send(ctx, schemas.Participant{User: bob}, "no turn", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Send: %v", err)
		}
		p.received(frames[0])
		if f := want[*schemas.SendMessage](p); f.MessageIDByClient != 5 || f.Content != "4" {
			t.Errorf("then: %+v", f)
		}
		p.quiet()
		closeClient(t, c)
		if o := <-sends[4]; o.err == nil {
			t.Error("a send survived Close")
		}
	})
}

func TestSendManyAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		var wg sync.WaitGroup
		const n = 500
		for i := range n {
			wg.Go(func() {
				if _, err := c.Send(t.Context(), schemas.Participant{User: bob}, fmt.Sprint(i), nil); err != nil {
					t.Errorf("Send: %v", err)
				}
			})
		}
		seen := make(map[string]bool)
		for i := range n {
			f := want[*schemas.SendMessage](p)
			if int(f.MessageIDByClient) != i+1 || seen[f.Content] {
				t.Fatalf("send %d: %+v", i+1, f)
			}
			seen[f.Content] = true
			p.received(f)
		}
		wg.Wait()
		closeClient(t, c)
	})
}
