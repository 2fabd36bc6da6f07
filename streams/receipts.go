package streams

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
)

// receipts are the watermarks of who has got whose messages, one key a pair of
// sender and reader, or of group and member. They only grow. Devices of one reader on several gateways
// advance the same one, so each advance is a compare-and-set against the
// revision that this process saw last, and a read where somebody was faster.
type receipts struct {
	c  *Conn
	kv jetstream.KeyValue

	mu    sync.Mutex // guards known
	known map[string]knownWatermark
}

type knownWatermark struct {
	value    schemas.Watermark
	revision uint64
}

// maxKnown bounds the remembered watermarks; one more evicts any other.
const maxKnown = 100_000

func openReceipts(ctx context.Context, c *Conn) (*receipts, error) {
	kv, err := c.bucket(ctx, receiptsBucket)
	if err != nil {
		return nil, err
	}
	return &receipts{c: c, kv: kv, known: make(map[string]knownWatermark)}, nil
}

func (r *receipts) recall(key string) (knownWatermark, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.known[key]
	return k, ok
}

func (r *receipts) remember(key string, k knownWatermark) {
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

// AdvanceReceipt moves the watermark of reader in the messages of sender up to
// w, if it is not there yet, and returns once that is durable.
func (c *Conn) AdvanceReceipt(ctx context.Context, sender, reader schemas.UserID, w schemas.Watermark) error {
	return c.receipts.advance(ctx, receiptKey(sender, reader), w)
}

func (r *receipts) advance(ctx context.Context, key string, w schemas.Watermark) error {
	k, known := r.recall(key)
	for range casAttempts {
		if !known {
			var err error
			if k.value, k.revision, _, err = get[schemas.Watermark](ctx, r.kv, key); err != nil {
				return err
			}
		}
		merged := k.value.Merge(w)
		if merged == k.value {
			r.remember(key, k)
			return nil
		}
		revision, err := r.write(ctx, key, merged, k.revision)
		if err == nil {
			r.remember(key, knownWatermark{merged, revision})
			return nil
		}
		if !isConflict(err) {
			return fmt.Errorf("failed to write the watermark %s: %w", key, err)
		}
		known = false
	}
	return fmt.Errorf("failed to write the watermark %s: %w", key, errContended)
}

func (r *receipts) write(ctx context.Context, key string, w schemas.Watermark, revision uint64) (uint64, error) {
	if revision == 0 {
		return r.kv.Create(ctx, key, schemas.Encode(w))
	}
	return r.kv.Update(ctx, key, schemas.Encode(w), revision)
}

// ReceiptsSince calls each with the watermarks in the messages of sender that
// changed at or after t, a page at a time.
func (c *Conn) ReceiptsSince(ctx context.Context, sender schemas.UserID, t time.Time, page func([]schemas.ReceiptItem)) error {
	return c.receiptsSince(ctx, sender.Token(), t, page)
}

// receiptsSince is about a sender, by their token, or a group.
func (c *Conn) receiptsSince(ctx context.Context, of string, t time.Time, page func([]schemas.ReceiptItem)) error {
	subject, stream := "$KV."+receiptsBucket+"."+of+".*", "KV_"+receiptsBucket
	all, more, err := c.readers.since(ctx, stream, subject, t, schemas.MaxReceiptItems)
	for {
		if err != nil {
			return err
		}
		if items := receiptItems(all); len(items) > 0 {
			page(items)
		}
		if !more || len(all) == 0 {
			return nil
		}
		all, more, err = c.readers.next(ctx, stream, subject, all[len(all)-1].sequence+1, schemas.MaxReceiptItems)
	}
}

func receiptItems(all []stored) []schemas.ReceiptItem {
	items := make([]schemas.ReceiptItem, 0, len(all))
	for _, m := range all {
		of, token, _ := strings.Cut(strings.TrimPrefix(m.subject, "$KV."+receiptsBucket+"."), ".")
		reader, err := schemas.ParseUserToken(token)
		if err != nil {
			continue
		}
		w, err := schemas.Decode[schemas.Watermark](m.data)
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
