package client

import (
	"context"
	"time"
	"unicode/utf8"

	"roost/schemas"
)

// SendOptions are the optional fields of a message.
type SendOptions struct {
	ReplyTo schemas.MessageID // the message that this one answers
}

// Send sends content to a user or group, and returns after the message is durable for every
// target device. opts may be nil.
//
// The message gets the device's next number. The client retries it under that number on
// every new connection, and after a pause if the server answers unavailable or rate_limited.
// So the server stores it once, whatever fails meanwhile. If the server refuses the message,
// for example with unknown_receiver, the error is a [*schemas.Error]: see [Code].
//
// If ctx ends first, the error wraps that of ctx. An [UnknownOutcomeError] means that the
// server may have the message. Any other error means that it does not have it and never
// will. While too many sends are outstanding (max_outstanding_sends, counted from the oldest
// one), Send waits.
func (c *Client) Send(ctx context.Context, to schemas.Participant, content string, opts *SendOptions) (schemas.MessageReceived, error) {
	if opts == nil {
		opts = new(SendOptions)
	}
	return c.send(ctx, Outgoing{ReceiverID: to.User, GroupID: to.Group, Content: content, ReplyTo: opts.ReplyTo})
}

// send sends a message or an update.
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

// Resend waits for the answer to a send whose outcome is unknown, as Send does. It sends
// nothing, because the client retries by itself. It also knows the results of the last
// completed sends, and of all Restored ones.
func (c *Client) Resend(ctx context.Context, number schemas.ClientMessageID) (schemas.MessageReceived, error) {
	c.mu.Lock()
	s := c.outbox.findAny(number)
	c.mu.Unlock()
	if s == nil {
		return schemas.MessageReceived{}, ErrNotOutstanding
	}
	return c.await(ctx, s)
}

// Outstanding returns the unanswered sends, by number: those of running Send calls, those
// that ended with an [UnknownOutcomeError], and the unanswered ones of Restored.
func (c *Client) Outstanding() []Outgoing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return listOf(c.outbox.outstanding)
}

// Restored returns the sends that the Store had outstanding at Connect, by number, also
// after they are answered. The client retries them by itself. Resend returns the outcome of
// each until the client ends.
func (c *Client) Restored() []Outgoing {
	return listOf(c.outbox.restored) // it never changes
}

// validate checks a frame against the schema before the send gets a number. For some faults
// the server would close the connection with a code that ends the client.
func validate(o Outgoing) *schemas.Error {
	if !utf8.ValidString(o.Content) {
		return schemas.InvalidField("content", "is not valid UTF-8.")
	}
	o.MessageIDByClient = 1
	_, _, e := schemas.DecodeClientFrame(schemas.EncodeFrame(o.frame()))
	return e
}

// enqueue numbers o after the window has room, saves it, and wakes the writer.
func (c *Client) enqueue(ctx context.Context, o Outgoing) (*send, error) {
	s, room, err := c.tryEnqueue(o)
	for s == nil && err == nil {
		select {
		case <-room:
			s, room, err = c.tryEnqueue(o)
		case <-ctx.Done():
			return nil, notSent(ctx.Err())
		case <-c.done:
			return nil, notSent(c.ended())
		}
	}
	if err != nil {
		return nil, err
	}

	err = c.save()
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
	c.wakeWriter()
	return s, nil
}

// tryEnqueue numbers o. If the window is full, it returns no send, and room closes before
// another try can succeed.
func (c *Client) tryEnqueue(o Outgoing) (s *send, room <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, nil, notSent(c.err)
	}
	if c.outbox.last >= schemas.MaxNumber {
		return nil, nil, errNoNumbers
	}
	if n := len(schemas.EncodeFrame(o.frame())) + numberDigits; n > c.limit {
		return nil, nil, tooLarge(n, c.limit)
	}
	if s = c.outbox.add(o); s != nil {
		c.version++
	}
	return s, c.outbox.room, nil
}

// await waits for the result of a send. If ctx ends first, it withdraws a send that was not
// written.
func (c *Client) await(ctx context.Context, s *send) (schemas.MessageReceived, error) {
	select {
	case <-s.done:
		return s.received, s.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	select {
	case <-s.done: // it completed at the same time
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

// received completes the send that the server has accepted.
func (c *Client) received(answer schemas.MessageReceived) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.outbox.find(answer.MessageIDByClient); s != nil {
		c.outbox.complete(s, answer, nil)
		c.version++
		c.wakeWriter()
	}
}

// refused completes the send that the server refused, or plans its retry.
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
		c.outbox.complete(s, schemas.MessageReceived{}, frameError(f))
		c.version++
	}
	c.wakeWriter()
}

func frameError(f *schemas.ErrorFrame) *schemas.Error {
	return &schemas.Error{Code: f.Code, Message: f.Message, RetryAfterMS: f.RetryAfterMS}
}
