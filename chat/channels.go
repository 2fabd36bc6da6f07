package chat

import (
	"context"
	"slices"
	"sync"
	"time"

	"roost/client"
	"roost/schemas"
)

const (
	// maxPages bounds the pages of a channel that are pulled at once; /history shows older
	// messages.
	maxPages = 5
	// pullAgain is the pause before a page is pulled a second time because the message of
	// the wake-up was missing: another gateway may have answered.
	pullAgain = 1500 * time.Millisecond
)

// channels pulls the messages of channels after a wake-up, one pull a channel at a time.
// The goroutine of the session owns it, but for pull.
type channels struct {
	account  *account
	screen   *screen
	view     *view
	messages *messages
	sender   *sender
	wg       *sync.WaitGroup // of the session, which waits for pulls

	started schemas.Timestamp                     // of the session
	seen    map[schemas.GroupID]schemas.MessageID // the newest message that was shown, or that was older than started
	pulling map[schemas.GroupID]schemas.MessageID // channels with a pull, and the last wake-up since that began, if any
	pulled  chan pulled                           // unbuffered; written by a pull, read by the session
}

// pulled is the outcome of a pull.
type pulled struct {
	wake  client.WakeUp
	pages []schemas.HistoryMessage // newest first
	err   error
}

// wake pulls the messages that are new in a channel.
func (c *channels) wake(ctx context.Context, w client.WakeUp) {
	if _, ok := c.seen[w.GroupID]; !ok {
		c.seen[w.GroupID] = schemas.MessageIDAt(c.started)
		if w.MessageID <= c.seen[w.GroupID] {
			c.screen.line("%s has messages; open it, and /history shows them.", c.view.chat(schemas.Participant{Group: w.GroupID}))
		}
	}
	seen := c.seen[w.GroupID]
	if w.MessageID <= seen {
		return
	}
	if _, ok := c.pulling[w.GroupID]; ok {
		c.pulling[w.GroupID] = w.MessageID
		return
	}
	c.pulling[w.GroupID] = ""
	c.wg.Go(func() {
		p := pulled{wake: w}
		p.pages, p.err = c.pull(ctx, w, seen)
		select {
		case c.pulled <- p:
		case <-ctx.Done():
		}
	})
}

// pull reads the messages of a channel that are newer than seen, together with older ones
// of the same pages. It runs on a goroutine of its own.
func (c *channels) pull(ctx context.Context, w client.WakeUp, seen schemas.MessageID) (all []schemas.HistoryMessage, err error) {
	for n := range 2 {
		if n > 0 {
			select {
			case <-time.After(pullAgain):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if all, err = c.pullPages(ctx, w.GroupID, seen); err != nil || len(all) > 0 && all[0].MessageID >= w.MessageID {
			break
		}
	}
	return all, err
}

func (c *channels) pullPages(ctx context.Context, id schemas.GroupID, seen schemas.MessageID) (all []schemas.HistoryMessage, err error) {
	var older schemas.PageBounds
	for range maxPages {
		var page []schemas.HistoryMessage
		err := c.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
			page, err = api.GroupChat(ctx, id, older)
			return err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < schemas.HistoryPageSize || page[len(page)-1].MessageID <= seen {
			break
		}
		older.Before = page[len(page)-1].MessageID
	}
	return all, nil
}

// show shows the new messages of a channel, and the updates of messages that were shown.
// Messages of this user are on the screen while one has no answer.
func (c *channels) show(ctx context.Context, p pulled) {
	id := p.wake.GroupID
	again := c.pulling[id]
	delete(c.pulling, id)
	if p.err != nil {
		if ctx.Err() == nil && !isCode(p.err, schemas.CodeNotAMember) {
			c.screen.line("The messages of %s could not be read: %v", c.view.chat(schemas.Participant{Group: id}), explain(p.err))
		}
		return
	}
	chat := schemas.Participant{Group: id}
	for _, m := range slices.Backward(p.pages) {
		_, known := c.messages.find(m.MessageID)
		if known {
			c.showUpdates(m)
		}
		if m.MessageID <= c.seen[id] {
			continue
		}
		c.seen[id] = m.MessageID
		if known || m.Deleted || m.SenderID == c.view.me && c.sender.unanswered > 0 {
			continue
		}
		state := c.messages.addStored(m)
		c.screen.line("[%s] %s in %s%s: %s", clock(m.Timestamp), c.view.user(m.SenderID), c.view.chat(chat), c.view.about(m.ReplyTo), c.view.text(state))
	}
	if again != "" {
		c.wake(ctx, client.WakeUp{WakeUp: schemas.WakeUp{GroupID: id, MessageID: again}})
	}
}

// showUpdates shows the updates that a page has of a message that was shown. It leaves
// out those of this user while a message has no answer: they may have been made here.
func (c *channels) showUpdates(h schemas.HistoryMessage) {
	i, _ := c.messages.find(h.MessageID)
	_, page := stored(h)
	before, next := c.messages.known[i].state(), c.messages.known[i]
	next.updates = next.merge(page)
	now := next.state()
	updates := difference(before, now)
	reaction := func(u schemas.Message) bool { return u.Change == schemas.ChangeReaction }
	many := len(updates) > maxReactors+1 && len(now.Reactions) > 0
	if many {
		updates = slices.DeleteFunc(updates, reaction)
	}
	for _, u := range updates {
		if u.SenderID != c.view.me || c.sender.unanswered == 0 {
			c.screen.line("[%s] %s", clock(u.Timestamp), c.view.update(client.MessageUpdate{Message: client.Message{Message: u}}))
		}
	}
	c.messages.known[i] = next
	if many {
		c.screen.line("[%s] reactions in %s to %s: %s", clock(schemas.Now()), c.view.chat(schemas.Participant{Group: h.GroupID}),
			c.view.quote(h.MessageID), c.view.reactions(now.Reactions))
	}
}

// difference returns the updates that lead from one state of a message to the next, an
// edit or a deletion first. Pages have no time of deletions and reactions: those get the
// current time.
func difference(before, now schemas.MessageState) (updates []schemas.Message) {
	add := func(by schemas.UserID, change schemas.MessageChange, content string, at schemas.Timestamp) {
		updates = append(updates, schemas.Message{SenderID: by, GroupID: now.GroupID, Change: change, Content: content,
			TargetMessageID: now.MessageID, Timestamp: at})
	}
	switch {
	case before.Deleted:
		return nil
	case now.Deleted:
		add(now.SenderID, schemas.ChangeDelete, "", schemas.Now())
		return updates
	case now.EditedAt > before.EditedAt && now.Content != before.Content:
		add(now.SenderID, schemas.ChangeEdit, now.Content, now.EditedAt)
	}
	by := func(all []schemas.Reaction, user schemas.UserID) string {
		i := slices.IndexFunc(all, func(r schemas.Reaction) bool { return r.UserID == user })
		if i < 0 {
			return ""
		}
		return all[i].Reaction
	}
	for _, r := range now.Reactions {
		if by(before.Reactions, r.UserID) != r.Reaction {
			add(r.UserID, schemas.ChangeReaction, r.Reaction, schemas.Now())
		}
	}
	if len(now.Reactions) == schemas.MaxReactions {
		return updates // the page has no room for all: earlier ones may still exist
	}
	for _, r := range before.Reactions {
		if by(now.Reactions, r.UserID) == "" {
			add(r.UserID, schemas.ChangeReaction, "", schemas.Now())
		}
	}
	return updates
}
