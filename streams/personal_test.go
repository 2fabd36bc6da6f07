package streams_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"roost/schemas"
	"roost/streams"
	"roost/streams/channel"
	"roost/streams/group"
	"roost/streams/streamstest"
	"roost/streams/subject"
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
			for _, name := range slices.Sorted(maps.Keys(with)) {
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
	if _, err := c.RemoveDevice(ctx, subject.Address{User: "alice", Device: gone.DeviceID}); err != nil {
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
	want := map[schemas.ExportKind]int{"account": 1, "settings": 1, "device": 1, "removed_device": 1, "session": 1, "receipt": 3, "read_mark": 1, "blocks": 1,
		"membership": 1, "request": 2, "sent": 1, "waiting": 603}
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

// The chats of an export are asked for a page at a time.
func TestExportOfManyChats(t *testing.T) {
	c := connect(t, onePartition())
	with := make(map[string]int)
	for i := range schemas.MaxChats + 2 {
		with[fmt.Sprintf("friend%03d", i)] = 1
	}
	stop, err := c.ServeHistory(pages(c, with))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	chats := make(map[string]int)
	if err := c.Export(timeout(t), "alice", func(l schemas.ExportLine) error {
		chats[l.Chat]++
		return nil
	}); err != nil || !maps.Equal(chats, with) {
		t.Errorf("messages of %d chats, not of %d once each (%v)", len(chats), len(with), err)
	}
}

// Each line of an export says whose it is and what is stored, once; what nobody can
// read, and what is left in place of a key that was deleted, has no line.
func TestExportSaysWhatIsStored(t *testing.T) {
	c, ctx := connect(t, onePartition(), func(o *streams.Options) { o.SingleProcess = true }), timeout(t)
	people(t, c, "bob")
	a := settle(t, c, "alice", "bob")
	id := memberOf(t, c, "alice")[0]
	read := schemas.Watermark{DeliveredUpTo: c.Clock().Next(), ReadUpTo: c.Clock().Next()}
	if err := c.Receipts().Advance(ctx, "bob", "alice", read); err != nil {
		t.Fatal(err)
	}
	(&streamstest.Sender{T: t, Conn: c, From: "bob", To: a}).CommitPoison()
	gone := subject.Address{User: "alice", Device: addDevice(t, c, "alice").DeviceID}
	if _, _, err := c.Presence().Begin(ctx, gone, &schemas.Session{ConnectedAt: schemas.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RemoveDevice(ctx, gone); err != nil {
		t.Fatal(err)
	}
	known(t, c, a)
	send(t, c, a, subject.Address{User: "bob", Device: addDevice(t, c, "bob").DeviceID}, 2, "whose record is behind")
	var got []string
	say := func(parts ...any) { got = append(got, strings.TrimSpace(fmt.Sprintln(parts...))) }
	device := func(id schemas.DeviceID) string {
		return map[schemas.DeviceID]string{a.Device: "phone", gone.Device: "gone", "": "none"}[id]
	}
	err := c.Export(ctx, "alice", func(l schemas.ExportLine) error {
		switch l.Kind {
		case schemas.ExportAccount:
			say("account", l.Account.UserID, l.Account.CreatedAt > 0)
		case schemas.ExportSettings:
			say("settings", l.Settings.LastSeen)
		case schemas.ExportDevice:
			say("device", device(l.Device.DeviceID), l.Device.Name)
		case schemas.ExportRemovedDevice:
			say("removed", device(l.DeviceID))
		case schemas.ExportLastActive:
			say("last active", l.LastActive > 0)
		case schemas.ExportSession:
			say("session", device(l.DeviceID), l.Session.ConnectedAt > 0)
		case schemas.ExportReceipt:
			r := l.Receipt
			say("receipt", r.SenderID, r.GroupID == id, r.ReaderID, r.DeliveredUpTo != "", r.ReadUpTo == read.ReadUpTo)
		case schemas.ExportReadMark:
			say("read", l.ReadMark.Chat, l.ReadMark.ReadUpTo != "")
		case schemas.ExportBlocks:
			say("blocks", l.Blocks.UserIDs)
		case schemas.ExportMembership:
			say("membership", l.Chat == string(id), len(l.Membership.Spans), l.Role)
		case schemas.ExportRequest:
			say("request", l.Request.Route, l.Request.KeyHash != "", l.Request.ID != "")
		case schemas.ExportSent:
			say("sent", device(l.DeviceID), l.Sent.MessageIDByClient)
		case schemas.ExportWaiting:
			head, err := schemas.DecodeEntryHead(l.Entry)
			say("waiting", device(l.DeviceID), head.Type, err)
		default:
			say("of another kind:", l.Kind)
		}
		return nil
	})
	if code(err) != schemas.CodeUnavailable { // history is not there
		t.Errorf("it ended with %v", err)
	}
	want := []string{"account alice true", "settings everyone", "device phone phone", "removed gone", "last active true", "session phone true",
		"receipt alice false bob true false", "receipt bob false alice true true", "receipt  true alice true false",
		"read bob true", "blocks [bob]", "membership true 1 owner", "request POST /accounts true true", "request POST /groups true true", "sent phone 1", "sent phone 2",
		"waiting phone group_update <nil>", "waiting phone incoming_message <nil>", "waiting none incoming_message <nil>"}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What others still store of somebody who had the name before is not in the export of
// who has it now.
func TestExportLeavesOutTheOneBefore(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	people(t, c, "alice", "bob")
	first := c.Clock().Next()
	if _, err := c.DeleteAccount(ctx, "alice", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.FinishErasure(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	people(t, c, "alice")
	second := c.Clock().Next()
	for _, r := range []struct {
		sender, reader schemas.UserID
		w              schemas.Watermark
	}{
		{"alice", "bob", schemas.Watermark{DeliveredUpTo: first}}, // a message of the first one arrived now
		{"alice", "carol", schemas.Watermark{DeliveredUpTo: second}},
		{"alice", "dave", schemas.Watermark{DeliveredUpTo: first, ReadUpTo: second}},
		{"bob", "alice", schemas.Watermark{DeliveredUpTo: first}}, // she reads what is old
	} {
		if err := c.Receipts().Advance(ctx, r.sender, r.reader, r.w); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	if err := c.Export(ctx, "alice", func(l schemas.ExportLine) error {
		if l.Kind == schemas.ExportReceipt {
			got = append(got, fmt.Sprint(l.Receipt.SenderID, " ", l.Receipt.ReaderID))
		}
		return nil
	}); code(err) != schemas.CodeUnavailable { // history is not there
		t.Errorf("it ended with %v", err)
	}
	slices.Sort(got)
	if want := []string{"alice carol", "alice dave", "bob alice"}; !slices.Equal(got, want) {
		t.Errorf("receipts %q, want %q", got, want)
	}
}

// What somebody sent to a channel is stored under the group, and in the export of who sent
// it, also behind their leaving; not what others sent, nor who had the name before.
func TestExportHasWhatWasPosted(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	posted := func() (got []string) {
		if err := c.Export(ctx, "alice", func(l schemas.ExportLine) error {
			if l.Kind == schemas.ExportPosted {
				got = append(got, fmt.Sprint(l.Chat, " ", l.Posted.Change, l.Posted.Content))
			}
			return nil
		}); code(err) != schemas.CodeUnavailable { // history is not there
			t.Errorf("it ended with %v", err)
		}
		return got
	}
	people(t, c, "alice", "bob")
	if got := posted(); len(got) != 0 {
		t.Errorf("without any channel: %q", got)
	}
	id, left := newGroup(t, c, "bob", "alice"), newGroup(t, c, "bob", "alice")
	post(t, c, schemas.Message{GroupID: id, Content: "of the one before"})
	if _, err := c.DeleteAccount(ctx, "alice", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.FinishErasure(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	people(t, c, "alice")
	for _, id := range []schemas.GroupID{id, left} {
		if _, err := c.Groups().Change(ctx, id, "bob", func(e *group.Edit) error {
			since := e.Note(schemas.GroupAdded, "alice", schemas.RoleMember)
			e.Group.Members = append(e.Group.Members, schemas.Member{UserID: "alice", Role: schemas.RoleMember, Since: since})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	first := schemas.Message{MessageID: c.Clock().Next(), GroupID: id, Content: "hello"}
	post(t, c, first)
	post(t, c, schemas.Message{GroupID: id, Change: schemas.ChangeEdit, TargetMessageID: first.MessageID, Content: "hello all"})
	post(t, c, schemas.Message{GroupID: left, Content: "bye"})
	of := schemas.Message{MessageID: c.Clock().Next(), SenderID: "bob", GroupID: id, Content: "of bob", Timestamp: schemas.Now()}
	stored := make(chan error, 1)
	c.Channels().Commit(channel.Send{Message: &of}, func(_ uint64, err error) { stored <- err })
	if err := streamstest.Receive(t, stored); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Groups().Change(ctx, left, "alice", func(e *group.Edit) error {
		e.Remove(schemas.GroupLeft, "alice")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	got, want := posted(), []string{string(id) + " hello", string(id) + " edithello all", string(left) + " bye"}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	enough := errors.New("enough")
	if err := c.Export(ctx, "alice", func(l schemas.ExportLine) error {
		if l.Kind == schemas.ExportPosted {
			return enough
		}
		return nil
	}); !errors.Is(err, enough) {
		t.Errorf("it did not end where its caller did, but with %v", err)
	}
}

// memberOf are the groups of a person.
func memberOf(t *testing.T, c *streams.Conn, u schemas.UserID) (ids []schemas.GroupID) {
	t.Helper()
	groups, err := c.Groups().Of(timeout(t), u)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		ids = append(ids, g.GroupID)
	}
	return ids
}
