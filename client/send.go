package client

import (
	"context"
	"time"
	"unicode/utf8"

	"roost/schemas"
)

// SendOptions are what a message may carry besides its content.
type SendOptions struct {
	ReplyTo schemas.MessageID // the message that this one answers
}

// Send sends content to a user or group and returns when the message is durable
// for every device it is meant for. opts may be nil.
//
// The message gets the device's next number. Under that number it is written
// again on every new connection, and after a pause where the server answers
// unavailable or rate_limited, so it is stored once whatever breaks meanwhile.
// A refusal, such as unknown_receiver, is a [*schemas.Error]: see [Code].
//
// When ctx ends first, the error wraps that of ctx and tells two cases apart: an
// [UnknownOutcomeError] where the server may have the message, any other error
// where it has not and never will. While too many sends are outstanding
// (max_outstanding_sends, counted from the oldest one), Send waits for its turn.
func (c *Client) Send(ctx context.Context, to schemas.Participant, content string, opts *SendOptions) (schemas.MessageReceived, error) {
	if opts == nil {
		opts = new(SendOptions)
	}
	return c.send(ctx, Outgoing{ReceiverID: to.User, GroupID: to.Group, Content: content, ReplyTo: opts.ReplyTo})
}

// send is Send, for messages and updates.
func (c *Client) send(ctx context.Context, o Outgoing) (schemas.MessageReceived, error) {
	o.Timestamp = schemas.Now()
	if e := validate(o); e != nil {
		return schemas.MessageReceived{}, e
	}
	s, err := c.enqueue(ctx, o)
	if err != nil {
		return schemas.MessageReceived{}, err
	}
	return c.await(ctx, s)
}

// Resend waits for the answer to a send whose outcome is unknown, as Send does.
// It asks nothing that the client would not ask by itself, and knows the results
// of the last sends that were settled while nobody waited, and of all Restored.
func (c *Client) Resend(ctx context.Context, number schemas.ClientMessageID) (schemas.MessageReceived, error) {
	c.mu.Lock()
	s := c.outbox.lookUp(number)
	c.mu.Unlock()
	if s == nil {
		return schemas.MessageReceived{}, ErrNotOutstanding
	}
	return c.await(ctx, s)
}

// Outstanding are the sends without answer, by number: those of Send calls under
// way, those given up with an [UnknownOutcomeError], and what is left of Restored.
func (c *Client) Outstanding() []Outgoing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return listOf(c.outbox.waiting)
}

// Restored are the sends that the Store had outstanding at Connect, by number,
// whether they were settled since or not. The client asks for them by itself;
// Resend tells the outcome of each, for as long as the client lives.
func (c *Client) Restored() []Outgoing {
	return listOf(c.outbox.restored) // never changed
}

// validate has the schema judge a frame before it takes a number: a server
// closes the connection, for good, over some of what it would find.
func validate(o Outgoing) *schemas.Error {
	if !utf8.ValidString(o.Content) {
		return schemas.InvalidField("content", "is not valid UTF-8.")
	}
	o.MessageIDByClient = 1
	_, _, e := schemas.DecodeClientFrame(schemas.EncodeFrame(o.frame()))
	return e
}

// enqueue gives o a number, as soon as the window has room, and hands it to
// the writer once the store has it.
func (c *Client) enqueue(ctx context.Context, o Outgoing) (*send, error) {
	var s *send
	for s == nil {
		c.mu.Lock()
		if c.err != nil {
			defer c.mu.Unlock()
			return nil, notSent(c.err)
		}
		if c.outbox.last >= schemas.MaxNumber {
			c.mu.Unlock()
			return nil, errNoNumbers
		}
		if n := len(schemas.EncodeFrame(o.frame())) + numberDigits; n > c.limit {
			defer c.mu.Unlock()
			return nil, tooLarge(n, c.limit)
		}
		s = c.outbox.add(o)
		room := c.outbox.room
		if s != nil {
			c.version++
		}
		c.mu.Unlock()
		if s != nil {
			break
		}
		select {
		case <-room:
		case <-ctx.Done():
			return nil, notSent(ctx.Err())
		case <-c.done:
			return nil, notSent(c.ended())
		}
	}

	err := c.save()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if c.outbox.find(s.MessageIDByClient) != nil {
			c.outbox.remove(s)
			c.version++
		}
		return nil, notSent(err)
	}
	s.stored = true
	c.rouse()
	return s, nil
}

func (c *Client) await(ctx context.Context, s *send) (schemas.MessageReceived, error) {
	select {
	case <-s.done:
		return s.received, s.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	select {
	case <-s.done: // it was settled just now
		c.mu.Unlock()
		return s.received, s.err
	default:
	}
	if s.written {
		defer c.mu.Unlock()
		return schemas.MessageReceived{}, &UnknownOutcomeError{Number: s.MessageIDByClient, Err: ctx.Err()}
	}
	c.outbox.remove(s)
	c.version++
	c.mu.Unlock()
	if err := c.save(); err != nil {
		c.log.Error("failed to save that a send was withdrawn", "error", err)
	}
	return schemas.MessageReceived{}, notSent(ctx.Err())
}

// received settles the send that the server has stored.
func (c *Client) received(answer schemas.MessageReceived) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.outbox.find(answer.MessageIDByClient); s != nil {
		c.outbox.settle(s, answer, nil)
		c.version++
		c.rouse()
	}
}

// refused settles the send that the server will not store, or has it asked again.
func (c *Client) refused(f *schemas.ErrorFrame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.outbox.find(f.MessageIDByClient)
	if s == nil {
		return
	}
	switch f.Code {
	case schemas.CodeUnavailable, schemas.CodeRateLimited:
		pause := time.Duration(f.RetryAfterMS) * time.Millisecond
		if pause <= 0 {
			pause = retryAfter
		}
		c.outbox.postpone(s, time.Now(), pause, f.Code == schemas.CodeRateLimited)
	default:
		c.outbox.settle(s, schemas.MessageReceived{}, frameError(f))
		c.version++
	}
	c.rouse()
}

func frameError(f *schemas.ErrorFrame) *schemas.Error {
	return &schemas.Error{Code: f.Code, Message: f.Message, RetryAfterMS: f.RetryAfterMS}
}
