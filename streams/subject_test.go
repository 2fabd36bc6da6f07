package streams

import (
	"strings"
	"testing"

	"roost/schemas"
)

const (
	testDevice schemas.DeviceID = "01K73S8AC0DEV1CEDEV1CEDEV1"
	otherDev   schemas.DeviceID = "01K73S8AC0DEV1CEDEV1CEDEV2"
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
		a := Address{u, testDevice}
		for _, subject := range []string{sentSubject(p, a), inboxSubject(p, a), liveSubject(p, a), sessionKey(a),
			messageSubject(&schemas.Message{SenderID: u, SenderDeviceID: testDevice, ReceiverID: v}),
			deliveredEventSubject(u), sessionEventSubject(u), receiptKey(u, v)} {
			if strings.ContainsAny(subject, " \t\r\n*>") || strings.Contains(subject, "..") || strings.HasSuffix(subject, ".") {
				t.Errorf("%q is no subject to publish on", subject)
			}
		}
		tokens := strings.Split(inboxSubject(p, a), ".")
		if len(tokens) != 4 || tokens[0] != "inbox" || tokens[1] != itoa(p) || tokens[3] != string(testDevice) {
			t.Fatalf("%q is not inbox.<p>.<user>.<device>", tokens)
		}
		if back, err := schemas.ParseUserToken(tokens[2]); err != nil || back != u {
			t.Errorf("%q came back as %q: %v", u, back, err)
		}
		if (u == v) != (inboxSubject(0, a) == inboxSubject(0, Address{v, testDevice})) || (u == v) != (userKey(u) == userKey(v)) {
			t.Errorf("%q and %q are mixed up", u, v)
		}
	})
}

func TestSubjects(t *testing.T) {
	a := Address{"alice@example.org", testDevice}
	m := &schemas.Message{SenderID: "alice@example.org", SenderDeviceID: testDevice, ReceiverID: "bob"}
	g := &schemas.Message{SenderID: "bob", SenderDeviceID: otherDev, GroupID: "g-01K73S8AC0GR0VPGR0VPGR0VPG"}
	for got, want := range map[string]string{
		sentSubject(3, a):                      "sent.3.alice=40example=2Eorg.01K73S8AC0DEV1CEDEV1CEDEV1",
		inboxSubject(3, a):                     "inbox.3.alice=40example=2Eorg.01K73S8AC0DEV1CEDEV1CEDEV1",
		liveSubject(3, a):                      "live.3.alice=40example=2Eorg.01K73S8AC0DEV1CEDEV1CEDEV1",
		inboxSubject(0, Unclaimed("bob")):      "inbox.0.bob.unclaimed",
		messageSubject(m):                      "msg.alice=40example=2Eorg.01K73S8AC0DEV1CEDEV1CEDEV1.user.bob",
		messageSubject(g):                      "msg.bob.01K73S8AC0DEV1CEDEV1CEDEV2.group.g-01K73S8AC0GR0VPGR0VPGR0VPG",
		deliveredEventSubject("bob"):           "evt.delivered.bob",
		sessionEventSubject("bob"):             "evt.session.bob",
		receiptKey("bob", "alice@example.org"): "bob.alice=40example=2Eorg",
		inSubject("inbox", 12):                 "inbox.12.>",
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
