package chat

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"roost/client"
	"roost/schemas"
)

// patience is how long the chat waits for answers after the user quits.
const patience = 2 * time.Second

// session is one user at one device. The goroutine of run owns it and all parts of it.
type session struct {
	account *account
	client  *client.Client
	screen  *screen
	me      schemas.UserID

	chats    *chats
	messages *messages
	view     *view
	marks    *marks
	open     *openChat
	typing   *typing
	presence *presence
	groups   *groups
	channels *channels
	exports  *exports
	deletion *deletion
	commands commandTable

	sender   *sender
	notifier *notifier
	events   chan received // unbuffered; written by the receiver, read by run
	wg       sync.WaitGroup

	connection
	leaving bool             // no line is read any more
	expired <-chan time.Time // ends the wait for answers; nil: run waits for all of them
}

// connection is the state of the connection, as far as the user knows it.
type connection struct {
	online bool // there was one
	lost   bool
}

type received struct {
	event client.Event
	err   error
}

func newSession(a *account, c *client.Client, scr *screen, peer schemas.Participant) *session {
	welcome := c.Welcome()
	s := &session{account: a, client: c, screen: scr, me: welcome.UserID, events: make(chan received),
		chats: newChats(a), messages: &messages{me: welcome.UserID}, sender: newSender(c), notifier: newNotifier(c)}
	s.view = &view{me: s.me, chats: s.chats, messages: s.messages}
	s.marks = &marks{screen: scr, sender: s.sender}
	s.open = &openChat{account: a, screen: scr, view: s.view, chats: s.chats, sender: s.sender, notifier: s.notifier,
		peer: peer, unread: make(map[schemas.Participant]readMark)}
	s.typing = newTyping(scr, s.view, s.open, s.notifier)
	s.presence = &presence{account: a, client: c, screen: scr, online: make(map[schemas.UserID]bool)}
	s.groups = &groups{account: a, screen: scr, view: s.view, chats: s.chats, open: s.open}
	s.channels = &channels{account: a, screen: scr, view: s.view, messages: s.messages, sender: s.sender, wg: &s.wg, started: welcome.ServerTime,
		seen: make(map[schemas.GroupID]schemas.MessageID), pulling: make(map[schemas.GroupID]schemas.MessageID), pulled: make(chan pulled)}
	s.exports = &exports{account: a, screen: scr, wg: &s.wg, done: make(chan exported)}
	s.deletion = &deletion{account: a, screen: scr, me: s.me}
	history := &history{account: a, screen: scr, view: s.view, messages: s.messages, open: s.open}
	updates := &messageCommands{screen: scr, view: s.view, messages: s.messages, open: s.open}
	devices := &devices{account: a, screen: scr, this: welcome.DeviceID}
	s.commands = commandTable{
		{"Chats", slices.Concat(s.open.commands(), history.commands())},
		{"Messages", updates.commands()},
		{"Groups", s.groups.commands()},
		{"Users", slices.Concat(s.presence.commands(), (&blocks{a, scr}).commands())},
		{"You", slices.Concat(devices.commands(), (&settings{a, scr}).commands(), s.exports.commands(), s.deletion.commands())},
		{"Here", []command{
			{"/help", "", "this list", 0, 0, func(context.Context, args) error { s.commands.help(scr); return nil }},
			{"/quit", "", "end the chat", 0, 0, func(context.Context, args) error { return errQuit }},
		}},
	}
	return s
}

// run chats until the chat is over.
func (s *session) run(ctx context.Context, lines func() (string, error)) error {
	s.screen.line("You are %s on %s. /help lists the commands.", clean(string(s.me)), clean(s.account.opts.Device))
	if _, err := s.chats.loadGroups(ctx); err != nil {
		s.screen.line("The names of your groups are not known: %v", explain(err))
	}
	if s.open.check() == nil {
		s.open.showTimer(ctx)
	}
	s.open.prompt()
	restored := s.client.Restored()
	if n := len(restored); n > 0 {
		s.screen.line("Messages from last time that are retried: %d", n)
	}
	s.sender.unanswered = len(restored)

	ctx, cancel := context.WithCancel(ctx)
	s.wg.Go(func() { s.sender.run(ctx, restored) })
	s.wg.Go(func() { s.receive(ctx) })
	s.wg.Go(func() { s.notifier.run(ctx) })
	err := s.loop(ctx, readLines(ctx, lines))
	cancel()
	s.wg.Wait()
	s.farewell(err == nil && !s.deletion.done)
	return err
}

// readLines reads until the end of stdin. Nothing waits for its goroutine: a read
// from a terminal cannot be interrupted, and ends with the process.
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

// receive hands events to run, until ctx ends or the client has ended.
func (s *session) receive(ctx context.Context) {
	for {
		ev, err := s.client.Receive(ctx)
		select {
		case s.events <- received{ev, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *session) loop(ctx context.Context, lines <-chan string) error {
	for {
		if s.screen.err != nil {
			return s.screen.err
		}
		if s.over() {
			return nil
		}
		in := lines
		if s.leaving || s.sender.unanswered >= maxUnanswered {
			in = nil
		}
		select {
		case line, ok := <-in:
			quits := ok && s.typed(ctx, line) == errQuit
			s.leaving = quits || !ok
			if quits || s.leaving && s.screen.term != nil {
				s.expired = time.After(patience)
			}
		case r := <-s.sender.results:
			s.sender.unanswered--
			s.answered(r)
		case r := <-s.events:
			switch {
			case isRemoved(r.err):
				return s.account.removed()
			case r.err != nil:
				return explain(r.err)
			}
			s.event(ctx, r.event)
		case p := <-s.channels.pulled:
			s.channels.show(ctx, p)
		case x := <-s.exports.done:
			s.exports.ended(x)
		case <-s.expired:
			return nil
		case <-s.screen.keys:
			s.typing.report()
		case <-s.typing.stale.C:
			s.screen.fade()
		case <-ctx.Done():
			return nil
		}
	}
}

// typed runs the command of a line, or sends the line.
func (s *session) typed(ctx context.Context, line string) error {
	line = strings.TrimRight(line, "\r\n")
	switch {
	case strings.TrimSpace(line) == "":
		return nil
	case strings.HasPrefix(line, "//"):
		line = line[1:]
	case strings.HasPrefix(line, "/"):
		command, args, err := s.commands.find(line)
		if err == nil {
			err = command.run(ctx, args)
		}
		if err != nil && err != errQuit {
			s.screen.lines(explain(err).Error())
		}
		return err
	}
	if err := s.open.say(line, ""); err != nil {
		s.screen.line("%v", err)
	}
	return nil
}

// over says whether the chat is over. At the end of stdin that is after the last answer
// and the end of an export. If the user ends the chat, it waits only for answers that can
// still come.
func (s *session) over() bool {
	switch {
	case !s.leaving:
		return false
	case s.expired == nil:
		return s.sender.unanswered == 0 && !s.exports.running
	}
	return s.sender.unanswered == 0 || s.lost || s.deletion.done
}

// farewell shows the messages that have no answer, after the sender has ended. If this
// device can start again, it retries those that the server may have; the others are not
// sent.
func (s *session) farewell(again bool) {
	for _, r := range s.sender.unreported {
		var unknown *client.UnknownOutcomeError
		switch {
		case errors.As(r.err, &unknown):
			continue
		case errors.Is(r.err, context.Canceled):
			s.notSent(r.outgoing)
		default:
			s.answered(r)
		}
		s.sender.unanswered--
	}
	for len(s.sender.outgoing) > 0 {
		s.notSent(<-s.sender.outgoing)
		s.sender.unanswered--
	}
	switch n := s.sender.unanswered; {
	case n == 0:
	case again:
		s.screen.line("Messages whose outcome is unknown: %d. The next start retries them.", n)
	default:
		s.screen.line("Messages whose outcome is unknown: %d.", n)
	}
}

// notSent shows a message that the end of the chat forestalled.
func (s *session) notSent(o outgoing) { s.screen.line("✗ %s: not sent", clean(s.view.outgoing(o))) }
