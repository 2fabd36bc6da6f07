package gateway_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roost/gateway"
	"roost/schemas"
	"roost/streams"
	"roost/streams/publisher"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

func TestMessageReachesReceiverAndOwnDevices(t *testing.T) {
	h := newHouse(t)
	phone, tablet, bob := h.connect("alice"), h.connect("alice"), h.connect("bob")
	accepted := phone.tell("bob", "hello <bob> & \"all\" 👋")
	for name, d := range map[string]*device{"bob": bob, "own tablet": tablet} {
		m := d.take()
		if m.MessageID != accepted.MessageID || m.Content != "hello <bob> & \"all\" 👋" || m.SenderID != "alice" ||
			m.ReceiverID != "bob" || m.SenderDeviceID != phone.welcome.DeviceID || m.MessageIDByClient != 1 || m.Cursor == "" {
			t.Errorf("%s got %+v", name, m)
		}
	}
	for name, d := range map[string]*device{"phone": phone, "tablet": tablet} {
		if r := want[*schemas.Delivered](d); r.MessageID != accepted.MessageID || r.UserID != "bob" {
			t.Errorf("%s got receipt %+v", name, r)
		}
	}
	// Nothing came back to the sending device.
	phone.roundTrip()
	for _, f := range phone.seen {
		if m, ok := f.(*schemas.Incoming); ok {
			t.Errorf("the sending device got its own message %+v", m)
		}
	}
}

func TestOneSendersMessagesArriveInOrder(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits = gateway.Limits{} })
	alice, bob := h.connect("alice"), h.connect("bob")
	const n = 500
	go func() {
		for i := range n {
			alice.say("bob", fmt.Sprint(i))
		}
	}()
	var last schemas.MessageID
	for i := range n {
		m := bob.take()
		if m.Content != fmt.Sprint(i) || m.MessageID <= last {
			t.Fatalf("message %d is %q with id %s after %s", i, m.Content, m.MessageID, last)
		}
		last = m.MessageID
	}
	for range n {
		want[*schemas.MessageReceived](alice)
	}
}

func TestRetryGetsTheFirstMessageID(t *testing.T) {
	dir := t.TempDir()
	nats := streamstest.Server(t, dir)
	h := joinHouse(t, nats)
	bobID := h.connect("bob").welcome.DeviceID // registered, and away
	alice := h.connect("alice")
	first := alice.tell("bob", "once")
	again := func(d *device, when string) {
		t.Helper()
		d.send(message("bob", "once", 1))
		if got := want[*schemas.MessageReceived](d); got.MessageID != first.MessageID || got.MessageIDByClient != 1 {
			t.Errorf("%s: got %+v, want the first id %s", when, got, first.MessageID)
		}
		d.send(message("bob", "another content", 1))
		if e := d.wantError(schemas.CodeConflict); e.MessageIDByClient != 1 {
			t.Errorf("%s: the conflict names number %d", when, e.MessageIDByClient)
		}
	}
	again(alice, "at once")
	alice = h.reconnect("alice", alice.welcome.DeviceID, "")
	if alice.welcome.LastMessageIDByClient != 1 {
		t.Errorf("welcome says %d was the last number, want 1", alice.welcome.LastMessageIDByClient)
	}
	again(alice, "after reconnect")
	other := joinHouse(t, nats)
	alice = other.reconnect("alice", alice.welcome.DeviceID, "")
	again(alice, "on another gateway")
	other.stop()
	h.stop()
	h.conn.Close()
	other.conn.Close()
	nats.Stop()
	h = joinHouse(t, streamstest.Server(t, dir))
	alice = h.reconnect("alice", alice.welcome.DeviceID, "")
	again(alice, "after a server restart")

	bob := h.reconnect("bob", bobID, "")
	if got := bob.backlog(); len(got) != 1 || got[0].MessageID != first.MessageID {
		t.Errorf("the inbox has %d messages, want the one", len(got))
	}
}

// TestRetryAfterTheWindow retries when the stream itself has forgotten the ids:
// the inbox still gets no second copy.
func TestRetryAfterTheWindow(t *testing.T) {
	h := furnish(t, streamstest.Server(t, t.TempDir()), streams.Topology{DuplicateWindow: 100 * time.Millisecond})
	bobID := h.connect("bob").welcome.DeviceID
	alice := h.connect("alice")
	first := alice.tell("bob", "once")
	probe := &schemas.Message{MessageID: h.conn.Clock().Next(), SenderID: "alice", ReceiverID: "carol", Content: "x", Timestamp: 1}
	commits := 0 // that were no duplicates: the second one comes after the window
	eventually(t, "the stream forgot the ids", func() bool {
		fresh := make(chan bool, 1)
		h.conn.CommitCopies(streams.Copies{Message: probe, Entry: probe.StoredMessage(), To: []subject.Address{subject.Unclaimed("bob")}},
			func(sequences []uint64, err error) { fresh <- err == nil && sequences[0] > 0 })
		if <-fresh {
			commits++
		}
		return commits == 2
	})
	again := func() {
		t.Helper()
		alice = h.reconnect("alice", alice.welcome.DeviceID, "")
		alice.send(message("bob", "once", 1))
		if got := want[*schemas.MessageReceived](alice); got.MessageID != first.MessageID {
			t.Errorf("got %+v", got)
		}
	}
	h.server.ForgetAccepted() // as after a restart
	again()
	bob := h.reconnect("bob", bobID, "")
	if got := bob.backlog(); len(got) != 1 {
		t.Errorf("the inbox has %d messages, want the one", len(got))
	}
	// The gateway remembers that it accepted the send: a message that was acknowledged
	// meanwhile does not come back.
	bob.ack(first.MessageID)
	bob.leave()
	again()
	if got := h.reconnect("bob", bobID, "").backlog(); len(got) != 0 {
		t.Errorf("the retry of an acknowledged message put %d copies into the inbox", len(got))
	}
}

// TestRetryAfterNewDevices: a retry brings the message to the devices that were there
// when it was sent. What was for somebody without a device comes to their first one.
func TestRetryAfterNewDevices(t *testing.T) {
	h, other := pairOfHouses(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	h.token("carol") // there is such a person
	for n, to := range []schemas.UserID{"bob", "carol"} {
		frame := &schemas.SendMessage{ReceiverID: to, Content: "early", MessageIDByClient: schemas.ClientMessageID(10*n + 1), Timestamp: 1}
		rec := h.record(addr("alice", alice), frame)
		first := bob
		if to == "carol" {
			first = h.connect("carol")
		}
		late := []*device{h.connect("alice"), h.connect(to)}
		h = other // where nobody has sent anything yet
		retrying := h.reconnect("alice", alice.welcome.DeviceID, "")
		retrying.send(frame)
		if got := want[*schemas.MessageReceived](retrying); got.MessageID != rec.MessageID {
			t.Errorf("the retry got %+v, want the first id %s", got, rec.MessageID)
		}
		if m := first.take(); m.MessageID != rec.MessageID {
			t.Errorf("%s got %+v, want %s", to, m, rec.MessageID)
		}
		retrying.tell(to, "late")
		for _, d := range late {
			if m := d.take(); m.Content != "late" {
				t.Errorf("a device that was registered later got %q", m.Content)
			}
		}
	}
}

// TestIDsFollowDevices: a message to a device has an id above the device's own, also
// where the clock of the gateway that registered it is ahead.
func TestIDsFollowDevices(t *testing.T) {
	h, other := pairOfHouses(t)
	other.conn.Clock().Observe(schemas.MessageIDAt(schemas.TimestampOf(time.Now().Add(30 * time.Second))))
	alice, bob := h.connect("alice"), other.connect("bob")
	if got := alice.tell("bob", "hello"); string(got.MessageID) < string(bob.welcome.DeviceID) {
		t.Errorf("the message to device %s has the id %s", bob.welcome.DeviceID, got.MessageID)
	}
}

func TestSameNumberTwiceUnderWay(t *testing.T) {
	h := newHouse(t)
	bob, alice := h.connect("bob"), h.connect("alice")
	frame := schemas.EncodeFrame(message("bob", "x", 1))
	alice.raw(websocket.MessageText, frame)
	alice.raw(websocket.MessageText, frame)
	a, b := want[*schemas.MessageReceived](alice), want[*schemas.MessageReceived](alice)
	if a.MessageID != b.MessageID {
		t.Errorf("two ids: %s and %s", a.MessageID, b.MessageID)
	}
	bob.take()
	alice.next = 2
	alice.tell("bob", "y")
	if m := bob.take(); m.Content == "x" {
		t.Error("the repeat arrived as well")
	}
}

func TestSkippedAndForgottenNumbers(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits = gateway.Limits{} })
	h.connect("bob")
	alice := h.connect("alice")
	send := func(n schemas.ClientMessageID) { alice.send(message("bob", fmt.Sprint("number ", n), n)) }
	send(10)
	want[*schemas.MessageReceived](alice)
	send(7) // refused before, comes behind its successor
	if got := want[*schemas.MessageReceived](alice); got.MessageIDByClient != 7 {
		t.Fatalf("got %+v", got)
	}
	if again := h.reconnect("alice", alice.welcome.DeviceID, ""); again.welcome.LastMessageIDByClient != 10 {
		t.Errorf("welcome says that %d is the last number, want 10", again.welcome.LastMessageIDByClient)
	} else {
		alice = again
	}
	for n := range schemas.ClientMessageID(schemas.MaxOutstanding) {
		send(100 + n)
		want[*schemas.MessageReceived](alice)
	}
	send(3)
	if e := alice.wantError(schemas.CodeConflict); e.MessageIDByClient != 3 {
		t.Errorf("got %+v", e)
	}
}

// A connection that was replaced may still have recorded a send after the hello of the
// next one, whose late record of an older number does not hide it.
func TestNumberOfAReplacedConnection(t *testing.T) {
	h := newHouse(t)
	h.connect("bob")
	alice := h.connect("alice")
	alice.send(message("bob", "ten", 10))
	want[*schemas.MessageReceived](alice)
	done := make(chan publisher.Outcome, 1)
	rec := schemas.SendRecord{MessageIDByClient: 11, MessageID: h.conn.Clock().Next()}
	if err := h.conn.SendLog().Record(addr("alice", alice), rec, func(o publisher.Outcome) { done <- o }); err != nil {
		t.Fatal(err)
	}
	if o := streamstest.Receive(t, done); o.Err != nil {
		t.Fatal(o.Err)
	}
	alice.send(message("bob", "seven", 7))
	want[*schemas.MessageReceived](alice)
	if again := h.reconnect("alice", alice.welcome.DeviceID, ""); again.welcome.LastMessageIDByClient != 11 {
		t.Errorf("welcome says that %d is the last number, want 11", again.welcome.LastMessageIDByClient)
	}
}

// A number that was refused before anything was stored is not the last one on record,
// also where a later send is.
func TestRefusedNumberIsNotTheLast(t *testing.T) {
	h := newHouse(t)
	h.connect("bob")
	alice := h.connect("alice")
	first := alice.tell("bob", "one")
	alice.send(message("nobody", "x", 1000))
	alice.wantError(schemas.CodeUnknownReceiver)
	alice.send(&schemas.UpdateMessage{ReceiverID: "bob", TargetMessageID: schemas.MessageID("01ARZ3NDEKTSV4RRFFQ69G5FAV"), Change: schemas.ChangeDelete,
		MessageIDByClient: 2000, Timestamp: 1})
	alice.wantError(schemas.CodeForbidden)
	for n := first.MessageIDByClient + 1; n <= 3; n++ {
		alice.send(message("bob", fmt.Sprint("number ", n), n))
		alice.accepted(n)
	}
	if again := h.reconnect("alice", alice.welcome.DeviceID, ""); again.welcome.LastMessageIDByClient != 3 {
		t.Errorf("welcome says that %d is the last number, want 3", again.welcome.LastMessageIDByClient)
	}
}

func TestUnknownReceiverStoresNothing(t *testing.T) {
	h := newHouse(t)
	alice := h.connect("alice")
	n := alice.say("nobody", "anyone?")
	if e := alice.wantError(schemas.CodeUnknownReceiver); e.MessageIDByClient != n {
		t.Errorf("the error names number %d, want %d", e.MessageIDByClient, n)
	}
	nobody := h.connect("nobody") // comes into being now
	if got := nobody.backlog(); len(got) != 0 {
		t.Errorf("%d messages were stored", len(got))
	}
	if _, ok, err := h.conn.SendLog().Last(h.ctx(), addr("alice", alice)); ok || err != nil {
		t.Errorf("the send is on record (%v)", err)
	}
}

func TestFirstDeviceGetsWhatCameBefore(t *testing.T) {
	h := newHouse(t)
	h.token("bob")
	alice := h.connect("alice")
	var ids []schemas.MessageID
	for i := range 3 {
		ids = append(ids, alice.tell("bob", fmt.Sprint(i)).MessageID)
	}
	bob := h.connect("bob")
	got := bob.backlog()
	if len(got) != 3 {
		t.Fatalf("the first device got %d messages, want 3", len(got))
	}
	for i, m := range got {
		if m.MessageID != ids[i] {
			t.Errorf("message %d is %s, want %s", i, m.MessageID, ids[i])
		}
		bob.ack(m.MessageID)
	}
	if r := want[*schemas.Delivered](alice); r.MessageID != ids[0] {
		t.Errorf("got receipt %+v", r)
	}
	if second := h.connect("bob").backlog(); len(second) != 0 {
		t.Errorf("the second device got %d messages", len(second))
	}
}

func TestNoteToSelf(t *testing.T) {
	h := newHouse(t)
	phone := h.connect("alice")
	phone.tell("alice", "to nobody else's device yet")
	tablet := h.connect("alice")
	accepted := phone.tell("alice", "buy milk")
	if m := tablet.take(); m.MessageID != accepted.MessageID || m.Content != "buy milk" {
		t.Errorf("got %+v", m)
	}
}

func TestInboxFull(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h := joinHouse(t, nats)
	bob, alice := h.connect("bob"), h.connect("alice")
	bob.leave()
	fill(t, h, addr("bob", bob), alice)
	n := alice.say("bob", "one too many")
	if e := alice.wantError(schemas.CodeInboxFull); e.MessageIDByClient != n || e.RetryAfterMS == 0 {
		t.Errorf("got %+v", e)
	}
	if _, err := h.conn.RemoveDevice(h.ctx(), addr("bob", bob)); err != nil {
		t.Fatal(err)
	}
	alice.send(message("bob", "one too many", n))
	want[*schemas.MessageReceived](alice)
}

func TestSendsAreLimited(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits.SendsPerSecond = 1 })
	h.connect("bob")
	alice := h.connect("alice")
	alice.tell("bob", "1")
	alice.tell("bob", "2")
	n := alice.say("bob", "3")
	e := alice.wantError(schemas.CodeRateLimited)
	if e.MessageIDByClient != n || e.RetryAfterMS <= 0 || e.RetryAfterMS > 1000 {
		t.Errorf("got %+v", e)
	}
}

// TestRefusedSendsAreNotOnRecord has the guard of `roost serve` say no and then
// yes; the real disk is in TestDiskFull of the main package.
func TestRefusedSendsAreNotOnRecord(t *testing.T) {
	var full atomic.Bool
	h := newHouse(t, func(o *gateway.Options) {
		o.Refuse = func() error {
			if full.Load() {
				return errors.New("the disk is full")
			}
			return nil
		}
	})
	bob, alice := h.connect("bob"), h.connect("alice")
	full.Store(true)
	n := alice.say("bob", "later")
	if e := alice.wantError(schemas.CodeUnavailable); e.MessageIDByClient != n || strings.Contains(e.Message, "disk") {
		t.Errorf("got %+v", e)
	}
	full.Store(false)
	alice.send(message("bob", "later", n))
	want[*schemas.MessageReceived](alice)
	if m := bob.take(); m.Content != "later" {
		t.Errorf("got %+v", m)
	}
}
