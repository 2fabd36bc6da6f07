package streams

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/subject"
)

// drop removes the entries, all that the inbox holds up to the last, from the
// stream: by one purge, or one by one where that costs the server less.
func (b *deviceInbox) drop(ctx context.Context, entries []windowEntry) error {
	if len(entries) > b.owner.deletes() && !sparse(entries) {
		return b.c.purge(ctx, b.stream, b.subject, entries[len(entries)-1].seq)
	}
	for _, e := range entries {
		if err := b.c.deleteMessage(ctx, b.stream, e.seq); err != nil {
			return err
		}
	}
	return nil
}

// sparse says whether the entries stand so far apart in the stream, as those of a
// large group's members do, that deletes cost the server less than a purge. A purge looks
// at all messages between the first and the last: about 20 ns each on an idle machine, 80 ns
// under load. A delete costs some 60 µs, and a sync of the disk on a single node.
func sparse(entries []windowEntry) bool {
	const looksADelete = 4096
	first, last := entries[0].seq, entries[len(entries)-1].seq
	return (last-first)/looksADelete > uint64(len(entries))
}

// deletes is how many deletes cost the server no more than one purge. A purge
// counts anew what waits for each consumer of the stream, about 1 µs for each; a
// delete, 60 µs, asks those of its subject alone. The consumers of other gateways
// are not known here and count as none.
func (cs *Consumers) deletes() int {
	if cs.pulls == nil {
		return 1
	}
	const consumersADelete = 64
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return min(removeBatch, 1+len(cs.inboxes)/len(cs.keys)/consumersADelete)
}

// collect adds to marks, for each sender and each group, the newest message of theirs that
// goes, unless the reader blocks the sender of a chat of two.
func (b *deviceInbox) collect(ctx context.Context, heads []schemas.EntryHead, marks watermarks) error {
	newest := make(map[schemas.UserID]schemas.MessageID, 1)
	for _, h := range heads {
		switch {
		case !h.IsSend() || h.SenderID == b.addr.User:
		case h.GroupID == "":
			newest[h.SenderID] = max(newest[h.SenderID], h.MessageID)
		default:
			marks.add(subject.GroupReceiptKey(h.GroupID, b.addr.User), schemas.Watermark{DeliveredUpTo: h.MessageID})
		}
	}
	if len(newest) == 0 {
		return nil
	}
	reader, err := b.c.directory.Person(ctx, b.addr.User)
	if err != nil {
		return err
	}
	for sender, id := range newest {
		if !reader.Blocks(sender) {
			marks.add(subject.ReceiptKey(sender, b.addr.User), schemas.Watermark{DeliveredUpTo: id})
		}
	}
	return nil
}

// maxAPICalls bounds the requests to the JetStream API under way: the server
// queues 10,000 and drops them all when one more comes.
const maxAPICalls = 64

// onRecord waits until the sends of all copies up to seq are on record, where the
// stream is one of inboxes: then the copies may go.
func (c *Conn) onRecord(ctx context.Context, stream string, seq uint64) error {
	if c.behind == nil || stream != subject.InboxStream(0) {
		return nil
	}
	return c.behind.cover(ctx, seq)
}

// allOnRecord waits until every accepted send is on record.
func (c *Conn) allOnRecord(ctx context.Context) error {
	return c.onRecord(ctx, subject.InboxStream(0), math.MaxUint64)
}

// purge removes the messages of a subject up to seq.
func (c *Conn) purge(ctx context.Context, stream, subject string, seq uint64) error {
	if err := c.onRecord(ctx, stream, seq); err != nil {
		return err
	}
	return c.api(ctx, "STREAM.PURGE."+stream, map[string]any{"filter": subject, "seq": seq + 1})
}

// purgeAll removes all messages of a subject, what is queued for SENT included.
func (c *Conn) purgeAll(ctx context.Context, stream, subject string) error {
	if err := c.allOnRecord(ctx); err != nil {
		return err
	}
	return c.api(ctx, "STREAM.PURGE."+stream, map[string]any{"filter": subject})
}

// deleteMessage removes one message of an inbox; that it is gone already is no
// error.
func (c *Conn) deleteMessage(ctx context.Context, stream string, seq uint64) error {
	if err := c.onRecord(ctx, stream, seq); err != nil {
		return err
	}
	return c.api(ctx, "STREAM.MSG.DELETE."+stream, map[string]any{"seq": seq, "no_erase": true})
}

// withAPI calls do, which makes one request, with a slot of maxAPICalls.
func (c *Conn) withAPI(ctx context.Context, do func(context.Context) error) error {
	select {
	case c.apiCalls <- struct{}{}:
		defer func() { <-c.apiCalls }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return do(ctx)
}

func (c *Conn) api(ctx context.Context, verb string, body any) error {
	return c.withAPI(ctx, func(ctx context.Context) error { return c.request(ctx, verb, body) })
}

func (c *Conn) request(ctx context.Context, verb string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("failed to encode %s: %w", verb, err)
	}
	m, err := c.control.RequestWithContext(ctx, "$JS.API."+verb, data)
	if err != nil {
		return fmt.Errorf("failed to call %s: %w", verb, err)
	}
	var answer struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("failed to read the answer of %s: %w", verb, err)
	}
	if e := answer.Error; e != nil && !e.gone() {
		return fmt.Errorf("%s answered: %s (%d)", verb, e.Description, e.Code)
	}
	return nil
}

// apiError is how JetStream says no.
type apiError struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

// stale says whether a guarded entry came after another change of its subject; the
// second code is that of a replicated stream with a change in flight.
func (e *apiError) stale() bool {
	return e.Code == int(jetstream.JSErrCodeStreamWrongLastSequence) || e.Code == int(jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// gone says whether the message to be deleted was not there any more.
func (e *apiError) gone() bool {
	const sequenceNotFound, deleteFailed = 10043, 10057
	return e.Code == sequenceNotFound || e.Code == deleteFailed && strings.Contains(e.Description, "no message found")
}
