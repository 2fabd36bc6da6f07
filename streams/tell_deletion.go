package streams

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"roost/schemas"
	"roost/streams/bus"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

const (
	// maxPeersRead is how many records an erasure reads before it notifies the users
	// that they name.
	maxPeersRead = 256
	// maxTold bounds the notified users that one erasure remembers. Beyond it a user
	// that several records name may be notified again, under the same message id.
	maxTold = 100_000
)

// tellPeers commits a user_deleted entry to the inboxes of the users who wrote with the
// user of a deleted account. It reads records up to ends. A user gets the entry if one
// of these is true: their message reached a device of the deleted user, they received a
// message of the deleted user, or their message is still in an inbox of the deleted
// user. tellPeers removes notified users from the records page by page, so the next call
// continues after one that was cut short. due is false if the erasure is not due any
// more.
//
// A message that a device acknowledged moves from the inbox to the receipts, at the
// latest when the deletion closes the connection. So tellPeers reads the receipts after
// the inboxes, up to their end at that time: the end in ends moves there.
func (c *Conn) tellPeers(ctx context.Context, u schemas.UserID, e erasure, notice schemas.MessageID, ends map[string]uint64) (due bool, err error) {
	t := telling{c: c, notice: notice, told: map[schemas.UserID]struct{}{u: {}},
		entry: (&schemas.UserDeletion{MessageID: notice, UserID: u, Timestamp: notice.Time()}).StoredUpdate()}
	isInbox := func(h holding) bool { return subject.IsInboxStream(h.stream) }
	for _, h := range e.all {
		if h.peers != nil && isInbox(h) {
			if err := t.tell(ctx, h, ends[h.stream]); err != nil {
				return false, err
			}
		}
	}
	receipts := subject.Receipts.Stream()
	end, err := c.endOf(ctx, receipts)
	if err != nil {
		return false, err
	}
	if _, due, err := c.confirmErasure(ctx, u, e); err != nil || !due {
		return false, err
	}
	ends[receipts] = end
	for _, h := range e.all {
		if h.peers != nil && !isInbox(h) {
			if err := t.tell(ctx, h, ends[h.stream]); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// telling notifies users of one deleted account.
type telling struct {
	c      *Conn
	notice schemas.MessageID
	entry  []byte
	told   map[schemas.UserID]struct{} // at most maxTold
}

// tell notifies the users that the records of a holding name, as far as end.
func (t *telling) tell(ctx context.Context, h holding, end uint64) error {
	for more := true; more; {
		var page []jsapi.Message
		var err error
		if page, more, err = t.c.api.Read(ctx, h.stream, h.subject, 0, maxPeersRead); err != nil {
			return fmt.Errorf("failed to read with whom a user wrote: %w", err)
		}
		peers, last := t.peersOf(h, page, end)
		if err := t.c.CommitUpdate(ctx, peers, t.notice, t.entry); err != nil {
			return fmt.Errorf("failed to tell of a deleted account: %w", err)
		}
		if more = more && len(page) > 0 && last == page[len(page)-1].Sequence; more { // the last page goes with the rest of the holding
			if err := t.c.purge(ctx, h.stream, h.subject, last); err != nil {
				return fmt.Errorf("failed to delete with whom a user wrote: %w", err)
			}
		}
	}
	return nil
}

// peersOf returns the users that a page of records names, as far as end, and the
// sequence of the last record that it looked at. It leaves out the users who were
// notified, and adds the rest to t.told while it has room.
func (t *telling) peersOf(h holding, page []jsapi.Message, end uint64) (peers []schemas.UserID, last uint64) {
	for _, m := range page {
		if m.Sequence > end { // records of a later owner of the name
			break
		}
		last = m.Sequence
		for _, peer := range h.peers(m) {
			if _, ok := t.told[peer]; ok {
				continue
			}
			if peers = append(peers, peer); len(t.told) < maxTold {
				t.told[peer] = struct{}{}
			}
		}
	}
	return peers, last
}

// peersOfReceipt returns both users of the key of a receipt; none in a group, whose
// members get the update that a member left.
func peersOfReceipt(m jsapi.Message) []schemas.UserID {
	sender, reader, _ := strings.Cut(strings.TrimPrefix(m.Subject, subject.Receipts.Subject("")), ".")
	a, errA := schemas.ParseUserToken(sender)
	b, errB := schemas.ParseUserToken(reader)
	if errA != nil || errB != nil || len(m.Data) == 0 { // no user's token begins as a group does
		return nil
	}
	return []schemas.UserID{a, b}
}

// peersOfEntry returns both users of a 1:1 message in an inbox.
func peersOfEntry(m jsapi.Message) []schemas.UserID {
	message, err := schemas.DecodeMessage(m.Data)
	if err != nil || message.SenderID == "" || message.ReceiverID == "" {
		return nil
	}
	return []schemas.UserID{message.SenderID, message.ReceiverID}
}

// Names of the service by which workers have gateways erase accounts.
const (
	eraseQueue   = "gateways"
	eraseTimeout = 30 * time.Second
	// maxErasures bounds the requests that wait for one gateway. Those beyond get no
	// answer, and their workers retry.
	maxErasures = 64
)

// RequestErasure has a gateway do [Conn.EraseAccount]: a worker may not write to the
// inboxes of the users to notify. It fails while no gateway runs.
func (c *Conn) RequestErasure(ctx context.Context, u schemas.UserID) error {
	ctx, cancel := context.WithTimeout(ctx, eraseTimeout)
	defer cancel()
	reply, err := c.control.RequestWithContext(ctx, subject.EraseAccount, []byte(u))
	if errors.Is(err, nats.ErrNoResponders) {
		return errors.New("failed to erase a deleted account: no gateway runs, and only a gateway may tell the users who wrote with it")
	}
	if err != nil {
		return fmt.Errorf("failed to have a gateway erase a deleted account: %w", err)
	}
	if text := reply.Header.Get(micro.ErrorHeader); text != "" {
		return fmt.Errorf("a gateway failed to erase a deleted account: %s", text)
	}
	return nil
}

// ServeErasures answers [Conn.RequestErasure], one at a time, sharing the requests with
// other gateways, until the function that it returns is called, which waits for the
// request in progress.
func (c *Conn) ServeErasures() (stop func(), err error) {
	ctx, cancel := context.WithCancel(c.ctx)
	requests := bus.NewDispatcher(c.control, maxErasures, func(m *nats.Msg) {
		if ctx.Err() == nil {
			c.answerErasure(ctx, m)
		}
	})
	sub, err := requests.QueueSubscribe(subject.EraseAccount, eraseQueue)
	if err == nil {
		err = c.control.FlushTimeout(historyTimeout)
	}
	if err != nil {
		cancel()
		requests.Close()
		return nil, fmt.Errorf("failed to serve the erasure of accounts: %w", err)
	}
	return func() {
		_ = sub.Unsubscribe() // fails only if the connection is closed, and with it the subscription
		cancel()
		requests.Close()
	}, nil
}

func (c *Conn) answerErasure(ctx context.Context, m *nats.Msg) {
	ctx, cancel := context.WithTimeout(ctx, eraseTimeout)
	defer cancel()
	u, err := schemas.ParseUserID(string(m.Data))
	if err == nil {
		err = c.EraseAccount(ctx, u)
	}
	reply := &nats.Msg{Subject: m.Reply}
	if err != nil {
		reply.Header = nats.Header{micro.ErrorHeader: {err.Error()}}
	}
	if err := c.control.PublishMsg(reply); err != nil && !jsapi.IsClosed(err) {
		c.log.Warn("the answer to a worker was not sent; the worker asks again", "error", err)
	}
}
