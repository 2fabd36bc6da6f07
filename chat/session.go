package chat

import (
	"context"
	"errors"
	"sync"
	"time"

	"roost/client"
	"roost/schemas"
)

const (
	chatUnanswered = 64              // lines without answer; beyond, no line is read
	chatNotices    = 16              // reads and typing that wait for a connection; beyond, the next one has to do
	chatPatience   = 2 * time.Second // for what was just typed, where the person ends the chat
)

// chat is one person at one device. run owns all of it. Goroutines serve run and
// end with it: the reader of lines, the sender, which keeps the order of what was
// typed, the receiver, the notifier, and a pull of a channel and an export while there
// is one.
type chat struct {
	account *account
	client  *client.Client
	screen  *screen
	peer    schemas.Participant // whom a line goes to

	outgoing chan outgoing // chatUnanswered long; written by run, which counts, so it is never full; read by the sender
	results  chan result   // unbuffered; written by the sender, read by run
	events   chan received // unbuffered; written by the receiver, read by run
	notices  chan notice   // chatNotices long; written by run, read by the notifier; when full a notice is left out
	channels channels
	exports  chan exported // unbuffered; written by an export, read by run
	wg       sync.WaitGroup
	left     []result // what the end of the chat kept from results; written by the sender, read once that has ended

	unanswered int
	leaving    bool             // no line is read any more
	patience   <-chan time.Time // says that answers are not waited for any longer; nil: they are
	online     bool             // the first Connected is no news
	away       bool             // the connection is lost
	started    schemas.Timestamp
	exporting  bool
	deleted    bool // the account

	marks   marks
	known   []knownMessage    // by message id, at most chatKnown
	early   []schemas.Message // updates of others, oldest first, at most chatKnown
	numbers int               // given to messages so far
	oldest  schemas.MessageID // to which /history went back in the chat with peer; empty: nowhere yet
	groups  map[schemas.GroupID]string
	timers  map[schemas.Participant]int      // after how many days messages disappear, where that is known
	unread  map[schemas.Participant]readMark // the newest one that was shown while another chat was open
	typing  typing
	watched []schemas.UserID
	present map[schemas.UserID]bool // who of watched was online when last heard of
}

func newChat(a *account, c *client.Client, s *screen, peer schemas.Participant) *chat {
	return &chat{account: a, client: c, screen: s, peer: peer,
		outgoing: make(chan outgoing, chatUnanswered), results: make(chan result), events: make(chan received),
		notices: make(chan notice, chatNotices), exports: make(chan exported), channels: newChannels(),
		groups: make(map[schemas.GroupID]string), timers: make(map[schemas.Participant]int), unread: make(map[schemas.Participant]readMark),
		typing: newTyping(), present: make(map[schemas.UserID]bool)}
}

// outgoing is a message, or an update where change is set.
type outgoing struct {
	to      schemas.Participant
	text    string
	replyTo schemas.MessageID
	change  schemas.MessageChange
	target  schemas.MessageID // what it changes, or
	last    bool              // the last one that was sent, if that is newer
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

// run chats until it is over.
func (c *chat) run(ctx context.Context, lines func() (string, error)) error {
	welcome := c.client.Welcome()
	c.started = welcome.ServerTime
	c.screen.line("You are %s on %s. /help lists the commands.", clean(string(welcome.UserID)), clean(c.account.opts.Device))
	if _, err := c.loadGroups(ctx); err != nil {
		c.screen.line("The names of your groups are not known: %v", explain(err))
	}
	if participant(c.peer) != "" {
		c.showTimer(ctx)
	}
	c.prompt()
	restored := c.client.Restored()
	if n := len(restored); n > 0 {
		c.screen.line("Messages from last time that are being sent again: %d", n)
	}
	c.unanswered = len(restored)

	ctx, cancel := context.WithCancel(ctx)
	c.wg.Go(func() { c.send(ctx, restored) })
	c.wg.Go(func() { c.receive(ctx) })
	c.wg.Go(func() { c.notify(ctx) })
	err := c.loop(ctx, readLines(ctx, lines))
	cancel()
	c.wg.Wait()
	c.farewell(err == nil && !c.deleted)
	return err
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
func (c *chat) send(ctx context.Context, restored []client.Outgoing) {
	report := func(r result) bool {
		select {
		case c.results <- r:
			return true
		case <-ctx.Done():
			c.left = append(c.left, r)
			return false
		}
	}
	last := make(map[schemas.Participant]schemas.MessageID)
	for _, f := range restored {
		r := result{outgoing: outgoing{to: schemas.Participant{User: f.ReceiverID, Group: f.GroupID}, text: f.Content,
			replyTo: f.ReplyTo, change: f.Change, target: f.TargetMessageID}}
		r.sent, r.err = c.client.Resend(ctx, f.MessageIDByClient)
		r.note(last)
		if !report(r) {
			return
		}
	}
	for {
		select {
		case o := <-c.outgoing:
			if o.last {
				o.target = max(o.target, last[o.to])
			}
			r := result{outgoing: o}
			r.sent, r.err = c.sendOne(ctx, o)
			r.note(last)
			if !report(r) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (c *chat) sendOne(ctx context.Context, o outgoing) (schemas.MessageReceived, error) {
	if o.change != "" && o.target == "" {
		return schemas.MessageReceived{}, errors.New("you sent nothing here that is known; /history shows what is stored")
	}
	switch o.change {
	case schemas.ChangeEdit:
		return c.client.Edit(ctx, o.to, o.target, o.text)
	case schemas.ChangeDelete:
		return c.client.Delete(ctx, o.to, o.target)
	case schemas.ChangeReaction:
		return c.client.React(ctx, o.to, o.target, o.text)
	}
	return c.client.Send(ctx, o.to, o.text, &client.SendOptions{ReplyTo: o.replyTo})
}

// note keeps the last message that was sent to each.
func (r result) note(last map[schemas.Participant]schemas.MessageID) {
	switch {
	case r.err != nil:
	case r.change == "":
		last[r.to] = r.sent.MessageID
	case r.change == schemas.ChangeDelete && r.target == last[r.to]:
		delete(last, r.to)
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
		if c.gone() {
			return nil
		}
		in := lines
		if c.leaving || c.unanswered >= chatUnanswered {
			in = nil
		}
		select {
		case line, ok := <-in:
			quits := ok && c.typed(ctx, line) == errQuit
			c.leaving = quits || !ok
			if quits || c.leaving && c.screen.term != nil {
				c.patience = time.After(chatPatience)
			}
		case r := <-c.results:
			c.unanswered--
			c.answered(r)
		case r := <-c.events:
			switch {
			case isRemoved(r.err):
				return c.account.removed()
			case r.err != nil:
				return explain(r.err)
			}
			c.happened(r.event)
			if w, ok := r.event.(client.WakeUp); ok {
				c.woken(ctx, w)
			}
		case p := <-c.channels.pulled:
			c.showPulled(ctx, p)
		case e := <-c.exports:
			c.exportEnded(e)
		case <-c.patience:
			return nil
		case <-c.screen.keys:
			c.typingHere()
		case <-c.typing.over.C:
			c.screen.fade()
		case <-ctx.Done():
			return nil
		}
	}
}

// gone says whether the chat is over: where stdin has ended, that is with the last
// answer and an export; a person who ends it waits for what is answered soon.
func (c *chat) gone() bool {
	switch {
	case !c.leaving:
		return false
	case c.patience == nil:
		return c.unanswered == 0 && !c.exporting
	}
	return c.unanswered == 0 || c.away || c.deleted
}

// farewell says what was not answered, once the sender has ended. What the server may
// have is asked again at the next start, if that is this device; the rest is not sent.
func (c *chat) farewell(again bool) {
	for _, r := range c.left {
		var unknown *client.UnknownOutcomeError
		switch {
		case errors.As(r.err, &unknown):
			continue
		case errors.Is(r.err, context.Canceled):
			c.notSent(r.outgoing)
		default:
			c.answered(r)
		}
		c.unanswered--
	}
	for len(c.outgoing) > 0 {
		c.notSent(<-c.outgoing)
		c.unanswered--
	}
	switch {
	case c.unanswered == 0:
	case again:
		c.screen.line("Not known to be sent: %d of your messages. What was on the way is sent again next time.", c.unanswered)
	default:
		c.screen.line("Not known to be sent: %d of your messages.", c.unanswered)
	}
}

// notSent shows a line that the end of the chat came before.
func (c *chat) notSent(o outgoing) { c.screen.line("✗ %s: not sent", clean(c.line(o))) }
