package receipts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/publisher"
	"roost/streams/subject"
)

// Receipts keeps the watermarks and read marks of all users. Methods may be called
// concurrently.
type Receipts struct {
	api       *jsapi.Client
	publisher *publisher.Publisher

	mu    sync.Mutex // guards known
	known map[string]knownWatermark
}

type knownWatermark struct {
	value    schemas.Watermark
	revision uint64
}

// maxKnown bounds the remembered watermarks; one more evicts any other.
const maxKnown = 100_000

// Open makes sure that the bucket is there.
func Open(ctx context.Context, api *jsapi.Client, p *publisher.Publisher) (*Receipts, error) {
	if _, err := api.Bucket(ctx, subject.Receipts); err != nil {
		return nil, err
	}
	return &Receipts{api: api, publisher: p, known: make(map[string]knownWatermark)}, nil
}

func (r *Receipts) recall(key string) (knownWatermark, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.known[key]
	return k, ok
}

func (r *Receipts) remember(key string, k knownWatermark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.known[key]; !ok && len(r.known) >= maxKnown {
		for other := range r.known { // any one: map order is random
			delete(r.known, other)
			break
		}
	}
	r.known[key] = k
}

// Advance moves the watermark of reader in the messages of sender up to w, if it is not there yet, and returns once that is durable.
func (r *Receipts) Advance(ctx context.Context, sender, reader schemas.UserID, w schemas.Watermark) error {
	return r.AdvanceAll(ctx, Marks{subject.ReceiptKey(sender, reader): w})
}

// Marks are positions to advance to, by key of the bucket.
type Marks map[string]schemas.Watermark

// Add merges w into the watermark at key.
func (ws Marks) Add(key string, w schemas.Watermark) { ws[key] = ws[key].Merge(w) }

// AdvanceAll moves each watermark up to its value in marks, unless it is there already,
// and returns when all of them are durable. It writes them together: thousands cost a
// few syncs of the disk.
func (r *Receipts) AdvanceAll(ctx context.Context, marks Marks) error {
	for range jsapi.Attempts {
		known, err := r.read(ctx, marks)
		if err != nil {
			return err
		}
		keys, set := make([]string, 0, len(marks)), make([]publisher.Entry, 0, len(marks))
		for key, w := range marks {
			k := known[key]
			merged := k.value.Merge(w)
			if merged == k.value {
				r.remember(key, k)
				continue
			}
			keys = append(keys, key)
			set = append(set, publisher.Entry{Subject: subject.Receipts.Subject(key), Data: schemas.Encode(merged), Guarded: true, Previous: k.revision})
		}
		if len(set) == 0 {
			return nil
		}
		for len(set) > 0 { // in parts, so that the writer has room for all of them
			n := min(len(set), publisher.MaxBatch)
			if err := r.write(ctx, keys[:n], set[:n], known, marks); err != nil {
				return fmt.Errorf("failed to write watermarks: %w", err)
			}
			keys, set = keys[n:], set[n:]
		}
	}
	return fmt.Errorf("failed to write watermarks: %w", jsapi.ErrContended)
}

// write commits the entries of keys and removes the stored ones from marks. An entry
// that found another revision is no error.
func (r *Receipts) write(ctx context.Context, keys []string, set []publisher.Entry, known map[string]knownWatermark, marks Marks) (failed error) {
	outcomes, err := r.publisher.Store(ctx, subject.Receipts.Stream(), set)
	if err != nil {
		return err
	}
	for i, o := range outcomes {
		switch key := keys[i]; {
		case o.Err == nil:
			r.remember(key, knownWatermark{known[key].value.Merge(marks[key]), o.Sequence})
			delete(marks, key)
		case errors.Is(o.Err, publisher.ErrStale):
			r.forget(key)
		default:
			r.forget(key) // it may be stored all the same
			failed = o.Err
		}
	}
	return failed
}

// read returns the watermark at each key of marks, as this process saw it last or as the
// bucket has it.
func (r *Receipts) read(ctx context.Context, marks Marks) (map[string]knownWatermark, error) {
	known, unknown := make(map[string]knownWatermark, len(marks)), make([]string, 0, len(marks))
	for key := range marks {
		if k, ok := r.recall(key); ok {
			known[key] = k
		} else {
			unknown = append(unknown, subject.Receipts.Subject(key))
		}
	}
	if len(unknown) == 0 {
		return known, nil
	}
	all, err := r.api.Lasts(ctx, subject.Receipts.Stream(), unknown)
	if err != nil {
		return nil, fmt.Errorf("failed to read watermarks: %w", err)
	}
	for _, m := range all {
		k := knownWatermark{revision: m.Sequence}
		if len(m.Data) > 0 { // else it was deleted
			if k.value, err = schemas.Decode[schemas.Watermark](m.Data); err != nil {
				return nil, fmt.Errorf("failed to read the watermark %s: %w", m.Subject, err)
			}
		}
		known[strings.TrimPrefix(m.Subject, subject.Receipts.Subject(""))] = k
	}
	return known, nil
}

func (r *Receipts) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, key)
}

// Changes are the receipts and read marks that changed at or after a time. A user without
// any costs a look at the newest one. The time is looked up in the stream once,
// when there is something to read. Methods may be called at the same time.
type Changes struct {
	r     *Receipts
	since time.Time

	mu    sync.Mutex // guards the rest
	found bool       // start is known
	start uint64     // sequence of the first change of any user; 0 if the stream found none
}

// Changes are those at or after t.
func (r *Receipts) Changes(t time.Time) *Changes { return &Changes{r: r, since: t} }

// OfUser calls marks with the read marks of a user, and then receipts with the watermarks
// in their messages, at most [schemas.MaxReceiptItems] at a time. Either may be nil.
func (ch *Changes) OfUser(ctx context.Context, u schemas.UserID, marks func([]schemas.ReadMark), receipts func([]schemas.ReceiptItem)) error {
	some, err := ch.some(ctx, subject.Receipts.Subject(u.Token()+".>"))
	if err != nil || !some {
		return err
	}
	if marks != nil {
		err := ch.each(ctx, subject.ReadMarks(u), func(all []jsapi.Message) {
			if page := decodeReadMarks(subject.ReadMarks(u), all); len(page) > 0 {
				marks(page)
			}
		})
		if err != nil {
			return fmt.Errorf("failed to read the read marks of a user: %w", err)
		}
	}
	if receipts == nil {
		return nil
	}
	return ch.receipts(ctx, subject.Receipts.Subject(u.Token()+".*"), receipts)
}

// OfGroup calls page with the watermarks of the members of a group.
func (ch *Changes) OfGroup(ctx context.Context, id schemas.GroupID, page func([]schemas.ReceiptItem)) error {
	filter := subject.Receipts.Subject(string(id) + ".*")
	some, err := ch.some(ctx, filter)
	if err != nil || !some {
		return err
	}
	return ch.receipts(ctx, filter, page)
}

func (ch *Changes) receipts(ctx context.Context, filter string, page func([]schemas.ReceiptItem)) error {
	err := ch.each(ctx, filter, func(all []jsapi.Message) {
		if items := receiptItems(all); len(items) > 0 {
			page(items)
		}
	})
	if err != nil {
		return fmt.Errorf("failed to read receipts: %w", err)
	}
	return nil
}

// some reports whether subjects have changes: their newest message is one.
func (ch *Changes) some(ctx context.Context, filter string) (bool, error) {
	newest, ok, err := ch.r.api.Newest(ctx, subject.Receipts.Stream(), filter)
	if err != nil {
		return false, fmt.Errorf("failed to read the newest receipt: %w", err)
	}
	return ok && !newest.Time.Before(ch.since), nil
}

// each calls page with the changes of some subjects.
func (ch *Changes) each(ctx context.Context, filter string, page func([]jsapi.Message)) error {
	stream := subject.Receipts.Stream()
	start, err := ch.first(ctx, stream)
	if err != nil {
		return err
	}
	for all, err := range ch.r.api.PagesSince(ctx, stream, filter, start, ch.since, schemas.MaxReceiptItems) {
		if err != nil {
			return err
		}
		page(all)
	}
	return nil
}

// first looks up the time, once.
func (ch *Changes) first(ctx context.Context, stream string) (uint64, error) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.found {
		return ch.start, nil
	}
	start, err := ch.r.api.SequenceAt(ctx, stream, ch.since)
	if err != nil {
		return 0, err
	}
	ch.found, ch.start = true, start
	return start, nil
}

func receiptItems(all []jsapi.Message) []schemas.ReceiptItem {
	items := make([]schemas.ReceiptItem, 0, len(all))
	for _, m := range all {
		of, token, _ := strings.Cut(strings.TrimPrefix(m.Subject, subject.Receipts.Subject("")), ".")
		reader, err := schemas.ParseUserToken(token)
		if err != nil {
			continue
		}
		w, err := schemas.Decode[schemas.Watermark](m.Data)
		if err != nil || w == (schemas.Watermark{}) {
			continue
		}
		item := schemas.ReceiptItem{Chat: string(reader), UserID: reader, DeliveredUpTo: w.DeliveredUpTo, ReadUpTo: w.ReadUpTo}
		if _, err := schemas.ParseGroupID(of); err == nil {
			item.Chat = of
		}
		items = append(items, item)
	}
	return items
}
