package workers

import (
	"fmt"
	"runtime"
	"testing"

	"roost/schemas"
)

func TestHistoryFollowsTheReadersSettings(t *testing.T) {
	b := newBench(t)
	b.run(b.store)
	b.keep("alice", 90)
	b.keep("bob", 0)
	b.post("alice", "bob", "1")
	b.post("bob", "alice", "2")
	b.wantHistory("alice", "bob", "2", "1")
	if got := b.history("bob", "alice"); len(got) != 0 {
		t.Errorf("bob keeps no history and sees %v", got)
	}
	b.keep("bob", 90)
	b.post("alice", "bob", "3")
	b.wantHistory("alice", "bob", "3", "2", "1")
	b.wantHistory("bob", "alice", "3") // bob kept no history before
}

func TestPagesOfTwenty(t *testing.T) {
	b := newBench(t)
	b.run(b.store)
	b.keep("alice", 90)
	var fifth schemas.Message
	for i := range 25 {
		m := b.post("alice", "bob", fmt.Sprint(i))
		if i == 4 {
			fifth = m
			for schemas.Now() <= fifth.Timestamp { // until the sixth has a later timestamp
				runtime.Gosched()
			}
		}
	}
	b.eventually("the newest 20", func() bool {
		got := b.history("alice", "bob")
		return len(got) == schemas.HistoryPageSize && got[0] == "24" && got[19] == "5"
	})
	reply, err := b.conn.HistoryPage(b.ctx(), schemas.HistoryRequest{UserID: "alice", Chat: "bob", UpTo: fifth.Timestamp})
	if err != nil || len(reply.Messages) != 5 || reply.Messages[4].Content != "0" {
		t.Errorf("up to the fifth: %v %v", reply.Messages, err)
	}
}

// TestAllPages: a reader who always asks for the messages before the last one of a page gets
// each message once, even if many have the same timestamp.
func TestAllPages(t *testing.T) {
	b := newBench(t)
	since := b.keep("alice", 90).HistorySince
	b.run(b.store)
	var all []schemas.Message
	add := func(with schemas.UserID, at schemas.Timestamp, n int) {
		for range n {
			id := schemas.MessageIDAt(at)
			id = id[:20] + schemas.MessageID(fmt.Sprintf("%06d", len(all)))
			all = append(all, schemas.Message{MessageID: id, SenderID: "alice", ReceiverID: with, Content: fmt.Sprint(len(all)), Timestamp: at})
		}
	}
	add("bob", since, 25)
	add("bob", since+1, 150)
	add("bob", since+2, 20)
	add("carol", since+2, 20)
	add("dave", since-1, 3) // before she kept history
	if err := b.store.Append(b.ctx(), all); err != nil {
		t.Fatal(err)
	}
	var chats []string
	b.eventually("a worker answers", func() bool {
		reply, err := b.conn.HistoryChats(b.ctx(), schemas.ChatsRequest{UserID: "alice"})
		chats = reply.Chats
		return err == nil
	})
	if fmt.Sprint(chats) != "[bob carol dave]" {
		t.Errorf("the chats are %v", chats)
	}
	if reply, err := b.conn.HistoryChats(b.ctx(), schemas.ChatsRequest{UserID: "alice", After: "bob"}); err != nil || fmt.Sprint(reply.Chats) != "[carol dave]" {
		t.Errorf("after bob: %v, %v", reply, err)
	}
	if reply, err := b.conn.HistoryChats(b.ctx(), schemas.ChatsRequest{UserID: "bob"}); err != nil || len(reply.Chats) != 0 {
		t.Errorf("the chats of bob, who keeps no history: %v, %v", reply, err)
	}
	for with, want := range map[string]int{"bob": 195, "carol": 20, "dave": 0} {
		seen := make(map[schemas.MessageID]bool)
		for before := schemas.MessageID(""); ; {
			reply, err := b.conn.HistoryPage(b.ctx(), schemas.HistoryRequest{UserID: "alice", Chat: with, Before: before})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range reply.Messages {
				if seen[m.MessageID] || before != "" && m.MessageID >= before {
					t.Fatalf("%s is repeated, or not before %s", m.MessageID, before)
				}
				seen[m.MessageID], before = true, m.MessageID
			}
			if len(reply.Messages) < schemas.HistoryPageSize {
				break
			}
		}
		if len(seen) != want {
			t.Errorf("%d messages with %s, not %d", len(seen), with, want)
		}
	}
}
