package chat

import (
	"context"
	"slices"
	"time"

	"roost/client"
	"roost/schemas"
)

const (
	// chatPullPages bounds the pages of a channel that are pulled at once; what is older
	// /history shows.
	chatPullPages = 5
	// chatPullAgain is after how long a page is pulled once more that did not have what
	// was told of: another gateway may have answered.
	chatPullAgain = 1500 * time.Millisecond
)

// channels are the groups whose messages this person pulls. It belongs to run.
type channels struct {
	seen    map[schemas.GroupID]schemas.MessageID // the newest that was shown, or of before the chat began
	pulling map[schemas.GroupID]schemas.MessageID // told of since the pull began; empty: nothing
	pulled  chan pulled                           // unbuffered; written by a pull, read by run
}

// pulled is what a pull found, newest first.
type pulled struct {
	wake  client.WakeUp
	pages []schemas.HistoryMessage
	err   error
}

func newChannels() channels {
	return channels{make(map[schemas.GroupID]schemas.MessageID), make(map[schemas.GroupID]schemas.MessageID), make(chan pulled)}
}

// woken pulls what a channel has new. One pull a channel is under way.
func (c *chat) woken(ctx context.Context, w client.WakeUp) {
	if _, ok := c.channels.seen[w.GroupID]; !ok {
		c.channels.seen[w.GroupID] = schemas.MessageIDAt(c.started)
		if w.MessageID <= c.channels.seen[w.GroupID] {
			c.screen.line("%s has messages; you see them by /history once you write to it.", c.name(schemas.Participant{Group: w.GroupID}))
		}
	}
	seen := c.channels.seen[w.GroupID]
	if w.MessageID <= seen {
		return
	}
	if _, ok := c.channels.pulling[w.GroupID]; ok {
		c.channels.pulling[w.GroupID] = w.MessageID
		return
	}
	c.channels.pulling[w.GroupID] = ""
	c.wg.Go(func() {
		p := pulled{wake: w}
		p.pages, p.err = c.pull(ctx, w, seen)
		select {
		case c.channels.pulled <- p:
		case <-ctx.Done():
		}
	})
}

// pull reads the messages of a channel that are newer than seen, and those before them
// that stand on the same pages.
func (c *chat) pull(ctx context.Context, w client.WakeUp, seen schemas.MessageID) (all []schemas.HistoryMessage, err error) {
	for n := range 2 {
		if n > 0 {
			select {
			case <-time.After(chatPullAgain):
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

func (c *chat) pullPages(ctx context.Context, id schemas.GroupID, seen schemas.MessageID) (all []schemas.HistoryMessage, err error) {
	var older schemas.PageBounds
	for range chatPullPages {
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

// showPulled shows what is new in a channel, and what was done to messages that were
// shown. What was sent from here is on the screen.
func (c *chat) showPulled(ctx context.Context, p pulled) {
	id := p.wake.GroupID
	again := c.channels.pulling[id]
	delete(c.channels.pulling, id)
	if p.err != nil {
		if ctx.Err() == nil && !isCode(p.err, schemas.CodeNotAMember) {
			c.screen.line("The messages of %s could not be read: %v", c.name(schemas.Participant{Group: id}), explain(p.err))
		}
		return
	}
	me, chat := c.client.Welcome().UserID, schemas.Participant{Group: id}
	for _, m := range slices.Backward(p.pages) {
		_, known := c.find(m.MessageID)
		if known {
			c.showChanges(m)
		}
		if m.MessageID <= c.channels.seen[id] {
			continue
		}
		c.channels.seen[id] = m.MessageID
		if known || m.Deleted || m.SenderID == me && c.unanswered > 0 {
			continue
		}
		state := c.recall(m)
		c.screen.line("[%s] %s in %s%s: %s", clock(m.Timestamp), c.who(m.SenderID), c.name(chat), c.about(m.ReplyTo), c.text(state))
	}
	if again != "" {
		c.woken(ctx, client.WakeUp{WakeUp: schemas.WakeUp{GroupID: id, MessageID: again}})
	}
}

// showChanges shows what a page says was done to a message that was shown. What this
// person did may have been done here, as long as answers are awaited.
func (c *chat) showChanges(h schemas.HistoryMessage) {
	i, _ := c.find(h.MessageID)
	_, done := stored(h)
	before, next := c.known[i].state(), c.known[i]
	next.updates = next.paged(done)
	now := next.state()
	updates := changes(before, now)
	reaction := func(u schemas.Message) bool { return u.Change == schemas.ChangeReaction }
	many := len(updates) > chatReactors+1 && len(now.Reactions) > 0
	if many {
		updates = slices.DeleteFunc(updates, reaction)
	}
	for _, u := range updates {
		if u.SenderID != c.client.Welcome().UserID || c.unanswered == 0 {
			c.screen.line("[%s] %s", clock(u.Timestamp), c.news(client.MessageUpdate{Message: client.Message{Message: u}}))
		}
	}
	c.known[i] = next
	if many {
		c.screen.line("[%s] reactions in %s to %s: %s", clock(schemas.Now()), c.name(schemas.Participant{Group: h.GroupID}),
			c.quote(h.MessageID), c.reactions(now.Reactions))
	}
}

// changes are the updates that make a message what it is now, an edit or a deletion
// first. Pages do not have the times of the others: they were made just now.
func changes(before, now schemas.MessageState) (updates []schemas.Message) {
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
		return updates // those of before may be there still
	}
	for _, r := range before.Reactions {
		if by(now.Reactions, r.UserID) == "" {
			add(r.UserID, schemas.ChangeReaction, "", schemas.Now())
		}
	}
	return updates
}
