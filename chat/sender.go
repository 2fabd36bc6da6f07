package chat

import (
	"context"
	"errors"

	"roost/client"
	"roost/schemas"
)

// maxUnanswered bounds the messages without an answer. Beyond it no line is read.
const maxUnanswered = 64

// sender sends messages and updates one after the other, in the order of the user's lines.
type sender struct {
	client   *client.Client
	outgoing chan outgoing // maxUnanswered long; written by the session, which counts, so it is never full; read by run
	results  chan result   // unbuffered; written by run, read by the session

	unanswered int      // owned by the session: messages that were added and have no result yet
	unreported []result // owned by run, by the session once run has returned: results after the end of the session
}

func newSender(c *client.Client) *sender {
	return &sender{client: c, outgoing: make(chan outgoing, maxUnanswered), results: make(chan result)}
}

// outgoing is a message, or an update if change is set.
type outgoing struct {
	to      schemas.Participant
	text    string
	replyTo schemas.MessageID
	change  schemas.MessageChange
	target  schemas.MessageID // the message that an update changes
	last    bool              // the target is the last message that was sent to this chat, if that is newer
}

// result is the outcome of a message; sent is set if err is nil.
type result struct {
	outgoing
	sent schemas.MessageReceived
	err  error
}

// add queues a message.
func (s *sender) add(o outgoing) {
	s.outgoing <- o
	s.unanswered++
}

// run retries the messages of an earlier process, then sends the queued ones, until ctx
// ends.
func (s *sender) run(ctx context.Context, restored []client.Outgoing) {
	last := make(map[schemas.Participant]schemas.MessageID)
	for _, f := range restored {
		r := result{outgoing: outgoing{to: schemas.Participant{User: f.ReceiverID, Group: f.GroupID}, text: f.Content,
			replyTo: f.ReplyTo, change: f.Change, target: f.TargetMessageID}}
		r.sent, r.err = s.client.Resend(ctx, f.MessageIDByClient)
		r.note(last)
		if !s.report(ctx, r) {
			return
		}
	}
	for {
		select {
		case o := <-s.outgoing:
			if o.last {
				o.target = max(o.target, last[o.to])
			}
			r := result{outgoing: o}
			r.sent, r.err = s.send(ctx, o)
			r.note(last)
			if !s.report(ctx, r) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// report gives a result to the session. After the end of ctx it keeps the result and
// returns false.
func (s *sender) report(ctx context.Context, r result) bool {
	select {
	case s.results <- r:
		return true
	case <-ctx.Done():
		s.unreported = append(s.unreported, r)
		return false
	}
}

func (s *sender) send(ctx context.Context, o outgoing) (schemas.MessageReceived, error) {
	if o.change != "" && o.target == "" {
		return schemas.MessageReceived{}, errors.New("this device knows no message of yours here; /history shows the stored ones")
	}
	switch o.change {
	case schemas.ChangeEdit:
		return s.client.Edit(ctx, o.to, o.target, o.text)
	case schemas.ChangeDelete:
		return s.client.Delete(ctx, o.to, o.target)
	case schemas.ChangeReaction:
		return s.client.React(ctx, o.to, o.target, o.text)
	}
	return s.client.Send(ctx, o.to, o.text, &client.SendOptions{ReplyTo: o.replyTo})
}

// note keeps the last message that was sent to each chat.
func (r result) note(last map[schemas.Participant]schemas.MessageID) {
	switch {
	case r.err != nil:
	case r.change == "":
		last[r.to] = r.sent.MessageID
	case r.change == schemas.ChangeDelete && r.target == last[r.to]:
		delete(last, r.to)
	}
}
