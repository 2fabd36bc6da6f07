package streams_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
)

// pages are a history of so many messages with each of the people, oldest first.
func pages(c *streams.Conn, with map[string]int) historian {
	all := make(map[string][]schemas.Message)
	for name, n := range with {
		for i := range n {
			all[name] = append(all[name], schemas.Message{MessageID: c.Clock().Next(), SenderID: "alice", ReceiverID: "x",
				Content: fmt.Sprint(name, i), Timestamp: schemas.Now()})
		}
	}
	return historian{
		chats: func(_ context.Context, req schemas.ChatsRequest) (schemas.ChatsReply, error) {
			var reply schemas.ChatsReply
			for name := range maps.Keys(with) {
				if name > req.After && len(reply.Chats) < schemas.MaxChats {
					reply.Chats = append(reply.Chats, name)
				}
			}
			return reply, nil
		},
		page: func(_ context.Context, req schemas.HistoryRequest) (schemas.HistoryReply, error) {
			var reply schemas.HistoryReply
			for i := len(all[req.Chat]) - 1; i >= 0 && len(reply.Messages) < schemas.HistoryPageSize; i-- {
				if m := all[req.Chat][i]; req.Before == "" || m.MessageID < req.Before {
					reply.Messages = append(reply.Messages, schemas.MessageState{Message: m})
				}
			}
			return reply, nil
		},
		ready: func(context.Context) error { return nil },
	}
}

func TestExport(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	a := settle(t, c, "alice", "bob")
	settle(t, c, "carol", "dave")
	(&streamstest.Sender{T: t, Conn: c, From: "bob", To: a}).CommitMany(600) // more than one read
	gone := addDevice(t, c, "alice")
	if _, err := c.RemoveDevice(ctx, streams.Address{User: "alice", Device: gone.DeviceID}); err != nil {
		t.Fatal(err)
	}
	export := func() (map[schemas.ExportKind]int, error) {
		kinds, chats := make(map[schemas.ExportKind]int), make(map[string]int)
		err := c.Export(ctx, "alice", func(l schemas.ExportLine) error {
			text := string(schemas.Encode(l))
			if strings.Contains(text, "carol") || strings.Contains(text, "password") {
				t.Errorf("not of alice, or not for her: %s", text)
			}
			if l.Kind == schemas.ExportMessage {
				chats[l.Chat+" "+l.Message.Content]++
			}
			kinds[l.Kind]++
			return nil
		})
		if kinds[schemas.ExportMessage] != len(chats) {
			t.Errorf("%d messages, and %d different ones", kinds[schemas.ExportMessage], len(chats))
		}
		return kinds, err
	}
	want := map[schemas.ExportKind]int{"account": 1, "settings": 1, "device": 1, "removed_device": 1, "session": 1, "receipt": 3, "blocks": 1,
		"membership": 1, "sent": 1, "waiting": 603}
	kinds, err := export()
	if code(err) != schemas.CodeUnavailable || !maps.Equal(kinds, want) {
		t.Errorf("without history: %v, %v, want %v", kinds, err, want)
	}
	stop, err := c.ServeHistory(pages(c, map[string]int{"bob": 45, "dora": schemas.HistoryPageSize, "eve": 1, "fay": 0}))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	want["message"] = 45 + schemas.HistoryPageSize + 1
	if kinds, err := export(); err != nil || !maps.Equal(kinds, want) {
		t.Errorf("%v, %v, want %v", kinds, err, want)
	}
	enough := errors.New("enough")
	for _, n := range []int{0, 3, 300, 605} { // it ends where its caller does
		left := n
		if err := c.Export(ctx, "alice", func(schemas.ExportLine) error {
			if left--; left < 0 {
				return enough
			}
			return nil
		}); !errors.Is(err, enough) {
			t.Errorf("behind %d lines it ended with %v", n, err)
		}
	}
}
