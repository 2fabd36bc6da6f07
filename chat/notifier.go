package chat

import (
	"context"

	"roost/client"
	"roost/schemas"
)

// maxNotices bounds the notices that wait for a connection. Beyond it a notice is dropped:
// the next one replaces it.
const maxNotices = 16

// notifier sends read marks and typing, which have no answer.
type notifier struct {
	client  *client.Client
	notices chan notice // maxNotices long; written by the session, read by run
}

// notice is a read mark, or typing if read is empty.
type notice struct {
	to   schemas.Participant
	read readMark
}

// readMark is the newest message that the user has read in a chat.
type readMark struct {
	id     schemas.MessageID
	sender schemas.UserID
}

func newNotifier(c *client.Client) *notifier {
	return &notifier{client: c, notices: make(chan notice, maxNotices)}
}

func (n *notifier) add(notice notice) {
	select {
	case n.notices <- notice:
	default:
	}
}

// run sends notices until ctx ends.
func (n *notifier) run(ctx context.Context) {
	for {
		select {
		case notice := <-n.notices:
			n.send(ctx, notice)
		case <-ctx.Done():
			return
		}
	}
}

// send waits for a connection for at most callTimeout. It ignores errors: typing is
// stale by then, and the next read mark covers this one.
func (n *notifier) send(ctx context.Context, notice notice) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if notice.read.id == "" {
		_ = n.client.SendTyping(ctx, notice.to)
	} else {
		_ = n.client.MarkRead(ctx, notice.to.Group, notice.read.sender, notice.read.id)
	}
}
