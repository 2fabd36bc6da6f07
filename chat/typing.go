package chat

import (
	"time"

	"roost/client"
	"roost/schemas"
)

// Times of typing in the protocol.
const (
	typingInterval = 3 * time.Second
	typingDuration = 5 * time.Second
)

// typing shows which users type, and reports that this one types. The goroutine of the
// session owns it.
type typing struct {
	screen   *screen
	view     *view
	open     *openChat
	notifier *notifier

	reported map[schemas.Participant]time.Time // when the user's typing was last reported
	until    map[client.Typing]time.Time       // when the typing of another user ends
	stale    *time.Timer                       // fires when the row about typing is stale
}

func newTyping(s *screen, v *view, o *openChat, n *notifier) *typing {
	t := &typing{screen: s, view: v, open: o, notifier: n, reported: make(map[schemas.Participant]time.Time),
		until: make(map[client.Typing]time.Time), stale: time.NewTimer(0)}
	t.stale.Stop()
	return t
}

// show shows that another user types, once until that user stops.
func (t *typing) show(ev client.Typing) {
	now := time.Now()
	for other, until := range t.until {
		if now.After(until) {
			delete(t.until, other)
		}
	}
	_, shown := t.until[ev]
	t.until[ev] = now.Add(typingDuration)
	t.stale.Reset(typingDuration)
	if shown {
		return
	}
	text := clean(string(ev.UserID)) + " is typing"
	if ev.GroupID != "" {
		text += " in " + t.view.chat(schemas.Participant{Group: ev.GroupID})
	}
	t.screen.temporary(text + " ...")
}

// stopped takes note that a message of the user came.
func (t *typing) stopped(user schemas.UserID, group schemas.GroupID) {
	delete(t.until, client.Typing{Typing: schemas.Typing{UserID: user, GroupID: group}})
}

// report tells the open chat that the user types, at most once in typingInterval.
func (t *typing) report() {
	now := time.Now()
	for chat, at := range t.reported {
		if now.Sub(at) >= typingInterval {
			delete(t.reported, chat)
		}
	}
	if _, lately := t.reported[t.open.peer]; lately || t.open.check() != nil {
		return
	}
	t.reported[t.open.peer] = now
	t.notifier.add(notice{to: t.open.peer})
}
