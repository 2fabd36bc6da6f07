package main

import (
	"context"
	"errors"
	"slices"
	"sync"

	"roost/client"
	"roost/schemas"
)

const (
	chatUnanswered = 64  // lines without answer; beyond, no line is read
	chatMarked     = 256 // sent messages that may still get their second mark
)

// chat is one person at one device. run owns all of it. Three goroutines serve
// run and end with it: the reader of lines, the sender, which keeps the order of
// what was typed, and the receiver.
type chat struct {
	account *account
	client  *client.Client
	screen  *screen
	peer    schemas.Participant // whom a line goes to

	outgoing chan outgoing // chatUnanswered long; written by run, which counts, so it is never full; read by the sender
	results  chan result   // unbuffered; written by the sender, read by run
	events   chan received // unbuffered; written by the receiver, read by run

	unanswered int
	leaving    bool                // stdin has ended
	online     bool                // the first Connected is no news
	sent       []sentLine          // not known to be delivered, oldest first, at most chatMarked
	early      []schemas.MessageID // delivered before run heard that they were sent, at most chatMarked
}

type outgoing struct {
	to   schemas.Participant
	text string
}

// result is what became of a line; sent is set where err is nil.
type result struct {
	outgoing
	sent schemas.MessageReceived
	err  error
}

type received struct {
	event client.Event
	err   error
}

type sentLine struct {
	outgoing
	id schemas.MessageID
}

// run chats until it is over.
func (c *chat) run(ctx context.Context, lines func() (string, error)) error {
	welcome := c.client.Welcome()
	c.screen.line("You are %s on %s. /help lists the commands.", clean(string(welcome.UserID)), clean(c.account.opts.Device))
	c.prompt()
	restored := c.client.Restored()
	if n := len(restored); n > 0 {
		c.screen.line("Messages from last time that are being sent again: %d", n)
	}
	c.unanswered = len(restored)

	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { c.send(ctx, restored) })
	wg.Go(func() { c.receive(ctx) })
	defer func() {
		cancel()
		wg.Wait()
	}()
	return c.loop(ctx, readLines(ctx, lines))
}

// readLines reads until there are no more. Its goroutine is the only one that
// is not waited for: a read from a terminal cannot be interrupted, and ends with
// the process.
func readLines(ctx context.Context, next func() (string, error)) <-chan string {
	lines := make(chan string) // unbuffered; closed at the end of stdin
	go func() {
		defer close(lines)
		for {
			line, err := next()
			if line != "" || err == nil {
				select {
				case lines <- line:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

// send sends what is outgoing, one after the other.
func (c *chat) send(ctx context.Context, restored []schemas.SendMessage) {
	report := func(r result) bool {
		select {
		case c.results <- r:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for _, f := range restored {
		r := result{outgoing: outgoing{schemas.Participant{User: f.ReceiverID, Group: f.GroupID}, f.Content}}
		r.sent, r.err = c.client.Resend(ctx, f.MessageIDByClient)
		if !report(r) {
			return
		}
	}
	for {
		select {
		case o := <-c.outgoing:
			r := result{outgoing: o}
			r.sent, r.err = c.client.Send(ctx, o.to, o.text, nil)
			if !report(r) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (c *chat) receive(ctx context.Context) {
	for {
		ev, err := c.client.Receive(ctx)
		select {
		case c.events <- received{ev, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (c *chat) loop(ctx context.Context, lines <-chan string) error {
	for {
		if c.screen.err != nil {
			return c.screen.err
		}
		if c.leaving && (c.unanswered == 0 || c.screen.term != nil) {
			return c.farewell()
		}
		in := lines
		if c.leaving || c.unanswered >= chatUnanswered {
			in = nil
		}
		select {
		case line, ok := <-in:
			c.leaving = !ok
			if ok && c.typed(ctx, line) == errQuit {
				return c.farewell()
			}
		case r := <-c.results:
			c.unanswered--
			c.answered(r)
		case r := <-c.events:
			if r.err != nil {
				return explain(r.err)
			}
			c.happened(ctx, r.event)
		case <-ctx.Done():
			return c.farewell()
		}
	}
}

// farewell says what was not answered. What the server may have is asked again
// at the next start.
func (c *chat) farewell() error {
	if c.unanswered > 0 {
		c.screen.line("Not known to be sent: %d of your messages. The ones on the way are sent again next time.", c.unanswered)
	}
	return nil
}

// answered shows what became of a line.
func (c *chat) answered(r result) {
	var unknown *client.UnknownOutcomeError
	switch {
	case errors.As(r.err, &unknown):
		c.screen.line("? %s: %v", clean(r.text), r.err)
	case r.err != nil:
		c.screen.line("✗ %s: not sent: %v", clean(r.text), explain(r.err))
	default:
		c.screen.mark(r.sent.MessageID, "✓", r.text)
		c.sent = append(c.sent, sentLine{r.outgoing, r.sent.MessageID})
		c.sent = c.sent[max(0, len(c.sent)-chatMarked):]
		if i := slices.Index(c.early, r.sent.MessageID); i >= 0 {
			c.early = slices.Delete(c.early, i, i+1)
			c.delivered(func(s sentLine) bool { return s.id == r.sent.MessageID })
		}
	}
}

// delivered shows the second mark, once.
func (c *chat) delivered(is func(sentLine) bool) (any bool) {
	c.sent = slices.DeleteFunc(c.sent, func(s sentLine) bool {
		if !is(s) {
			return false
		}
		any = true
		c.screen.mark(s.id, "✓✓", s.text)
		return true
	})
	return any
}

// happened shows an event.
func (c *chat) happened(ctx context.Context, ev client.Event) {
	switch ev := ev.(type) {
	case client.Connected:
		if c.online {
			c.screen.line("Connected again.")
		}
		c.online = true
	case client.Disconnected:
		c.screen.line("The connection is lost: %v. You can go on typing.", ev.Err)
	case client.Message:
		c.message(ctx, ev)
	case client.Delivered:
		if !c.delivered(func(s sentLine) bool { return s.id == ev.MessageID }) {
			c.early = append(c.early, ev.MessageID)
			c.early = c.early[max(0, len(c.early)-chatMarked):]
		}
	case client.Receipts:
		for _, item := range ev.Items {
			c.delivered(func(s sentLine) bool {
				return item.Chat == participant(s.to) && s.id <= item.DeliveredUpTo
			})
		}
	case client.ServerError:
		c.screen.line("The server says: %s", clean(ev.Err.Message))
	}
}

// message shows a message and acknowledges it: on this device, shown is stored.
func (c *chat) message(ctx context.Context, m client.Message) {
	me := c.client.Welcome().UserID
	from := clean(string(m.SenderID))
	switch {
	case m.GroupID != "":
		from += " in " + string(m.GroupID)
	case m.SenderID == me:
		from = "you to " + clean(string(m.ReceiverID)) // from another device
	}
	c.screen.line("[%s] %s: %s", clock(m.Timestamp), from, clean(m.Content))
	if c.screen.err != nil {
		return
	}
	if err := m.Ack(); err != nil && !errors.Is(err, client.ErrClosed) {
		c.screen.line("This message may come again: %v", err)
	}
	if c.screen.term == nil || m.SenderID == me {
		return // nobody is known to read it
	}
	ctx, cancel := context.WithTimeout(ctx, chatCallTime)
	defer cancel()
	in := schemas.Participant{User: m.SenderID}
	if m.GroupID != "" {
		in = schemas.Participant{Group: m.GroupID}
	}
	_ = c.client.MarkRead(ctx, in, m.MessageID) // the next one covers it
}

func participant(p schemas.Participant) string { return string(p.User) + string(p.Group) }
