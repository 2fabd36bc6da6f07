package subject

import (
	"strconv"
	"strings"
	"testing"

	"roost/schemas"
)

const (
	phone  schemas.DeviceID = "01K73S8AC0DEV1CEDEV1CEDEV1"
	laptop schemas.DeviceID = "01K73S8AC0DEV1CEDEV1CEDEV2"
)

// FuzzSubject: whatever a user is called, each subject of theirs is one valid NATS
// subject without wildcards, its user is read back from the one token, and nobody
// else has it.
func FuzzSubject(f *testing.F) {
	f.Add("alice", "bob", 4)
	f.Add("alice@example.org", "alice=40example.org", 64)
	f.Add("a.b", "a*b", 1)
	f.Add(">", " ", 1024)
	f.Add("ü", "=C3=BC", 7)
	f.Fuzz(func(t *testing.T, one, two string, partitions int) {
		u, err := schemas.ParseUserID(one)
		v, err2 := schemas.ParseUserID(two)
		if err != nil || err2 != nil || partitions < 1 || partitions > 1024 {
			t.Skip()
		}
		p := Partition(u, partitions)
		if p < 0 || p >= partitions {
			t.Fatalf("partition %d of %d", p, partitions)
		}
		a := Address{u, phone}
		for _, subject := range []string{Sent(p, a), Inbox(p, a), Live(p, a), DeviceKey(a),
			Message(&schemas.Message{SenderID: u, SenderDeviceID: phone, ReceiverID: v}),
			DeliveredEvent(u), SessionEvent(u), ReceiptKey(u, v)} {
			if strings.ContainsAny(subject, " \t\r\n*>") || strings.Contains(subject, "..") || strings.HasSuffix(subject, ".") {
				t.Errorf("%q is no subject to publish on", subject)
			}
		}
		tokens := strings.Split(Inbox(p, a), ".")
		if len(tokens) != 4 || tokens[0] != "inbox" || tokens[1] != strconv.Itoa(p) || tokens[3] != string(phone) {
			t.Fatalf("%q is not inbox.<p>.<user>.<device>", tokens)
		}
		if back, err := schemas.ParseUserToken(tokens[2]); err != nil || back != u {
			t.Errorf("%q came back as %q: %v", u, back, err)
		}
		if (u == v) != (Inbox(0, a) == Inbox(0, Address{v, phone})) || (u == v) != (UserKey(u) == UserKey(v)) {
			t.Errorf("%q and %q are mixed up", u, v)
		}
	})
}

func TestSubjects(t *testing.T) {
	a := Address{"alice@example.org", phone}
	m := &schemas.Message{SenderID: "alice@example.org", SenderDeviceID: phone, ReceiverID: "bob"}
	g := &schemas.Message{SenderID: "bob", SenderDeviceID: laptop, GroupID: "g-01K73S8AC0GR0VPGR0VPGR0VPG"}
	for got, want := range map[string]string{
		Sent(3, a):                             "sent.3.alice=40example=2Eorg.01K73S8AC0DEV1CEDEV1CEDEV1",
		Inbox(3, a):                            "inbox.3.alice=40example=2Eorg.01K73S8AC0DEV1CEDEV1CEDEV1",
		Live(3, a):                             "live.3.alice=40example=2Eorg.01K73S8AC0DEV1CEDEV1CEDEV1",
		Inbox(0, Unclaimed("bob")):             "inbox.0.bob.unclaimed",
		Message(m):                             "msg.alice=40example=2Eorg.01K73S8AC0DEV1CEDEV1CEDEV1.user.bob",
		Message(g):                             "msg.bob.01K73S8AC0DEV1CEDEV1CEDEV2.group.g-01K73S8AC0GR0VPGR0VPGR0VPG",
		DeliveredEvent("bob"):                  "evt.delivered.bob",
		SessionEvent("bob"):                    "evt.session.bob",
		ReceiptKey("bob", "alice@example.org"): "bob.alice=40example=2Eorg",
		AllInboxes(12):                         "inbox.12.>",
	} {
		if got != want {
			t.Errorf("got %s, not %s", got, want)
		}
	}
}

// Partitions are for the life of a cluster: another hash would lose inboxes.
func TestPartitionIsForGood(t *testing.T) {
	for user, want := range map[schemas.UserID]int{"alice": 39, "bob": 20, "carol@example.org": 29, "dave": 31} {
		if got := Partition(user, 64); got != want {
			t.Errorf("%s is in partition %d, not %d", user, got, want)
		}
	}
}
