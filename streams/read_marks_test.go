package streams_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"roost/schemas"
)

func TestReadMarks(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	group := schemas.GroupID("g-" + c.Clock().NextULID())
	want := make(map[string]schemas.MessageID)
	mark := func(p schemas.Participant) {
		t.Helper()
		id := c.Clock().Next()
		if err := c.Receipts().AdvanceReadMark(ctx, "alice", p, id); err != nil {
			t.Fatal(err)
		}
		want[string(p.User)+string(p.Group)] = id
	}
	for i := range schemas.MaxReceiptItems + 5 {
		mark(schemas.Participant{User: schemas.UserID(fmt.Sprintf("friend %d", i))}) // whose token is not the id
	}
	began := time.Now()
	mark(schemas.Participant{Group: group})
	mark(schemas.Participant{User: "friend 0"})
	if err := c.Receipts().AdvanceReadMark(ctx, "alice", schemas.Participant{User: "friend 1"}, schemas.MessageIDAt(1)); err != nil { // it only grows
		t.Fatal(err)
	}
	if err := c.Receipts().AdvanceReadMark(ctx, "alicia", schemas.Participant{User: "bob"}, c.Clock().Next()); err != nil {
		t.Fatal(err)
	}
	since := func(at time.Time) map[string]schemas.MessageID {
		t.Helper()
		got := make(map[string]schemas.MessageID)
		if err := other.Receipts().Changes(at).OfUser(ctx, "alice", func(marks []schemas.ReadMark) {
			if len(marks) > schemas.MaxReceiptItems {
				t.Errorf("%d marks at once", len(marks))
			}
			for _, m := range marks {
				got[m.Chat] = m.ReadUpTo
			}
		}, nil); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := since(time.Unix(0, 0)); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := since(began); len(got) != 2 || got[string(group)] != want[string(group)] || got["friend 0"] != want["friend 0"] {
		t.Errorf("since then: %v", got)
	}
	paged, pages := make(map[string]schemas.MessageID), 0
	for from := uint64(0); ; pages++ {
		marks, next, err := other.Receipts().ReadMarks(ctx, "alice", from, 40)
		if err != nil || len(marks) > 40 || pages > 3 {
			t.Fatal(len(marks), pages, err)
		}
		for _, m := range marks {
			paged[m.Chat] = m.ReadUpTo
		}
		if from = next; next == 0 {
			break
		}
	}
	if !maps.Equal(paged, want) {
		t.Errorf("the pages have %v, not %v", paged, want)
	}
	// A sender sees nothing of them.
	if err := c.Receipts().Changes(time.Unix(0, 0)).OfUser(ctx, "friend 0", nil, func(items []schemas.ReceiptItem) { t.Errorf("friend 0 is shown %+v", items) }); err != nil {
		t.Error(err)
	}
}
