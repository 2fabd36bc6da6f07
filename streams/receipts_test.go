package streams_test

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"roost/schemas"
	"roost/streams"
)

func advance(t *testing.T, c *streams.Conn, sender, reader schemas.UserID, w schemas.Watermark) {
	t.Helper()
	if err := c.Receipts().Advance(timeout(t), sender, reader, w); err != nil {
		t.Error(err)
	}
}

// receiptsSince are all items and the size of each page.
func receiptsSince(t *testing.T, c *streams.Conn, sender schemas.UserID, since time.Time) (items []schemas.ReceiptItem, pages []int) {
	t.Helper()
	if err := c.Receipts().Changes(since).OfUser(timeout(t), sender, nil, func(page []schemas.ReceiptItem) {
		items, pages = append(items, page...), append(pages, len(page))
	}); err != nil {
		t.Fatal(err)
	}
	return items, pages
}

func TestReceiptsOnlyGrow(t *testing.T) {
	c, other := pair(t)
	const one, two, three = schemas.MessageID("01K742SG00MESSAGEMESSAGE01"), schemas.MessageID("01K742SG00MESSAGEMESSAGE02"), schemas.MessageID("01K742SG00MESSAGEMESSAGE03")
	expect := func(delivered, read schemas.MessageID) {
		t.Helper()
		items, _ := receiptsSince(t, other, "alice@example.org", time.Unix(0, 0))
		want := []schemas.ReceiptItem{{Chat: "bob@example.org", UserID: "bob@example.org", DeliveredUpTo: delivered, ReadUpTo: read}}
		if !slices.Equal(items, want) {
			t.Errorf("got %+v, not %+v", items, want)
		}
	}
	step := func(conn *streams.Conn, w schemas.Watermark) {
		advance(t, conn, "alice@example.org", "bob@example.org", w)
	}
	if items, _ := receiptsSince(t, c, "alice@example.org", time.Unix(0, 0)); len(items) != 0 {
		t.Errorf("before any: %+v", items)
	}
	step(c, schemas.Watermark{DeliveredUpTo: two})
	expect(two, "")
	step(c, schemas.Watermark{DeliveredUpTo: one})
	expect(two, "")
	step(other, schemas.Watermark{ReadUpTo: two})
	expect(two, two)
	step(c, schemas.Watermark{DeliveredUpTo: three}) // with what it remembers out of date
	expect(three, two)
	step(other, schemas.Watermark{DeliveredUpTo: one, ReadUpTo: one})
	step(c, schemas.Watermark{})
	expect(three, two)
}

// Devices of one reader at two gateways advance the same watermark.
func TestReceiptsRace(t *testing.T) {
	c, other := pair(t)
	ids := make([]schemas.MessageID, 60)
	for i := range ids {
		ids[i] = c.Clock().Next()
	}
	var wg sync.WaitGroup
	for g, conn := range []*streams.Conn{c, other, c} {
		wg.Go(func() {
			for i := g; i < len(ids); i += 3 {
				advance(t, conn, "alice", "bob", schemas.Watermark{DeliveredUpTo: ids[i]})
				if i%2 == 0 {
					advance(t, conn, "alice", "bob", schemas.Watermark{ReadUpTo: ids[i]})
				}
			}
		})
	}
	wg.Wait()
	items, _ := receiptsSince(t, c, "alice", time.Unix(0, 0))
	if len(items) != 1 || items[0].DeliveredUpTo != ids[59] || items[0].ReadUpTo != ids[58] {
		t.Errorf("got %+v, not up to %s and %s", items, ids[59], ids[58])
	}
}

func TestReceiptsSince(t *testing.T) {
	c, other := pair(t)
	id := c.Clock().Next()
	const n = schemas.MaxReceiptItems + 20
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := g; i < n; i += 4 {
				advance(t, c, "alice", schemas.UserID(fmt.Sprint("reader", i)), schemas.Watermark{DeliveredUpTo: id})
			}
		})
	}
	wg.Wait()
	advance(t, c, "alice2", "stranger", schemas.Watermark{DeliveredUpTo: id})
	items, pages := receiptsSince(t, other, "alice", time.Unix(0, 0))
	if len(items) != n || !slices.Equal(pages, []int{schemas.MaxReceiptItems, 20}) {
		t.Errorf("%d items in pages of %v", len(items), pages)
	}
	for _, i := range items {
		if i.UserID == "stranger" || i.DeliveredUpTo != id {
			t.Errorf("got %+v", i)
		}
	}
	// Only what changed at or after a time; the stream's clock says when.
	stream, err := c.JetStream().Stream(timeout(t), "KV_RECEIPTS")
	if err != nil {
		t.Fatal(err)
	}
	before := stream.CachedInfo().State.LastTime.Add(time.Nanosecond)
	if items, _ := receiptsSince(t, other, "alice", before); len(items) != 0 {
		t.Errorf("%d items changed after the last", len(items))
	}
	advance(t, c, "alice", "reader7", schemas.Watermark{ReadUpTo: id})
	advance(t, c, "alice", "reader8", schemas.Watermark{DeliveredUpTo: id}) // no change
	items, _ = receiptsSince(t, other, "alice", before)
	if len(items) != 1 || items[0].UserID != "reader7" || items[0].ReadUpTo != id || items[0].DeliveredUpTo != id {
		t.Errorf("got %+v, not reader7's alone", items)
	}
}

// A device that missed nothing costs one or two reads, and one that missed receipts and
// read marks looks up the time once for both.
func TestReceiptChangesReadLittle(t *testing.T) {
	c, other := pair(t)
	requests, err := other.LiveConn().SubscribeSync("$JS.API.DIRECT.GET.KV_RECEIPTS")
	if err != nil {
		t.Fatal(err)
	}
	newest, err := other.LiveConn().SubscribeSync("$JS.API.DIRECT.GET.KV_RECEIPTS.>")
	if err != nil {
		t.Fatal(err)
	}
	// asked are the requests since the last call, and how many of them look for a time.
	asked := func() (reads, byTime int) {
		t.Helper()
		if err := other.LiveConn().Flush(); err != nil {
			t.Fatal(err)
		}
		for _, sub := range []*nats.Subscription{requests, newest} {
			for n, _, _ := sub.Pending(); n > 0; n-- {
				m, err := sub.NextMsgWithContext(timeout(t))
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(m.Data, []byte("start_time")) {
					byTime++
				}
				reads++
			}
		}
		return reads, byTime
	}
	if err := other.LiveConn().Flush(); err != nil {
		t.Fatal(err)
	}
	id := c.Clock().Next()
	advance(t, c, "alice", "bob", schemas.Watermark{DeliveredUpTo: id})
	if err := c.Receipts().AdvanceReadMark(timeout(t), "alice", schemas.Participant{User: "bob"}, id); err != nil {
		t.Fatal(err)
	}
	stream, err := c.JetStream().Stream(timeout(t), "KV_RECEIPTS")
	if err != nil {
		t.Fatal(err)
	}
	after := stream.CachedInfo().State.LastTime.Add(time.Nanosecond)
	advance(t, c, "dave", "erin", schemas.Watermark{DeliveredUpTo: id}) // of others
	for name, at := range map[string]struct {
		user            schemas.UserID
		since           time.Time
		marks, receipts int
		reads, byTime   int
	}{
		"has none":           {"nobody", after, 0, 0, 2, 0},
		"has older ones":     {"alice", after, 0, 0, 1, 0},
		"has newer ones":     {"alice", time.Unix(1, 0), 1, 1, 4, 1}, // all of the stream is newer: there is no message before to compare
		"has receipts alone": {"dave", after, 0, 1, 6, 1},            // with two that compare, and one that confirms that there is no mark
	} {
		asked()
		marks, receipts := 0, 0
		if err := c.Receipts().Changes(at.since).OfUser(timeout(t), at.user,
			func(some []schemas.ReadMark) { marks += len(some) },
			func(some []schemas.ReceiptItem) { receipts += len(some) }); err != nil {
			t.Fatal(err)
		}
		reads, byTime := asked()
		if marks != at.marks || receipts != at.receipts || reads != at.reads || byTime != at.byTime {
			t.Errorf("a user who %s: %d marks, %d receipts with %d reads, %d by time; want %+v", name, marks, receipts, reads, byTime, at)
		}
	}
}

// Thousands of watermarks are written with a few commits. Where another process moved one
// further meanwhile, it stays there.
func TestReceiptsTogether(t *testing.T) {
	c, other := pair(t)
	const n = 2500
	const one, two, three = schemas.MessageID("01K742SG00MESSAGEMESSAGE01"), schemas.MessageID("01K742SG00MESSAGEMESSAGE02"), schemas.MessageID("01K742SG00MESSAGEMESSAGE03")
	reader := func(i int) schemas.UserID { return schemas.UserID(fmt.Sprintf("reader%d", i)) }
	all := func(id schemas.MessageID) map[schemas.UserID]schemas.Watermark {
		marks := make(map[schemas.UserID]schemas.Watermark, n)
		for i := range n {
			marks[reader(i)] = schemas.Watermark{DeliveredUpTo: id}
		}
		return marks
	}
	if err := c.AdvanceReceipts(timeout(t), "alice", all(one)); err != nil {
		t.Fatal(err)
	}
	for i := range 20 { // c remembers them as they were
		advance(t, other, "alice", reader(i), schemas.Watermark{DeliveredUpTo: three})
	}
	if err := c.AdvanceReceipts(timeout(t), "alice", all(two)); err != nil {
		t.Fatal(err)
	}
	items, _ := receiptsSince(t, other, "alice", time.Unix(0, 0))
	if len(items) != n {
		t.Errorf("%d watermarks, not %d", len(items), n)
	}
	at := make(map[schemas.MessageID]int)
	for _, item := range items {
		at[item.DeliveredUpTo]++
	}
	if at[three] != 20 || at[two] != n-20 {
		t.Errorf("watermarks: %v", at)
	}
}
