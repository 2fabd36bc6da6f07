package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roost/gateway"
	"roost/gateway/auth"
	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// twoHouses are two gateways on one cluster, without limits.
func twoHouses(t *testing.T, change ...func(*gateway.Options)) (h, other *house) {
	t.Helper()
	nats := streamstest.Server(t, t.TempDir())
	change = append(change, func(o *gateway.Options) { o.Limits = gateway.Limits{} })
	return joinHouse(t, nats, change...), joinHouse(t, nats, change...)
}

// as does a request with a token.
func (h *house) as(token, method, path, body string) (int, schemas.Answer) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.ctx(), method, h.http.URL+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", schemas.ContentType)
	req.Header.Set("Authorization", "Bearer "+token)
	return h.do(req)
}

const credentials = `{"user_id":"alice","password":"correct horse"}`

// signUp makes alice an account and returns a token.
func signUp(t *testing.T, h *house) string {
	t.Helper()
	if status, answer := h.call("", "POST", "/accounts", credentials); status != http.StatusCreated {
		t.Fatal(status, answer.Error)
	}
	_, answer := h.call("", "POST", "/sessions", credentials)
	return data[schemas.Token](t, answer).Token
}

// join connects a new device with a token.
func (h *house) join(token string) *device {
	h.t.Helper()
	d := h.dial()
	d.hello(&schemas.Hello{Token: token, DeviceName: "test"})
	return d
}

func TestDeleteAccount(t *testing.T) {
	h, other := twoHouses(t)
	token := signUp(t, h)
	phone, tablet, bob := h.join(token), other.join(token), other.connect("bob")
	for body, want := range map[string]int{``: 400, `{}`: 401, `{"password":"wrong horse"}`: 401} {
		if status, answer := h.as(token, "DELETE", "/account", body); status != want {
			t.Errorf("%q got %d %+v", body, status, answer.Error)
		}
	}
	if status, _ := h.as("nonsense", "DELETE", "/account", `{"password":"correct horse"}`); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
	bob.tell("alice", "she is still there")
	for _, d := range []*device{phone, tablet} {
		d.take()
		d.roundTrip()
	}

	status, answer := h.as(token, "DELETE", "/account", `{"password":"correct horse"}`)
	deleted := data[schemas.AccountDeleted](t, answer)
	if status != http.StatusOK || deleted.UserID != "alice" || deleted.DeletedAt == 0 {
		t.Fatalf("got %d %+v", status, answer)
	}
	said := make(map[schemas.KeptWhere]string)
	for _, k := range deleted.Kept {
		said[k.Where] = k.What
	}
	for where, what := range map[schemas.KeptWhere]string{schemas.KeptInInboxes: "channels", schemas.KeptInHistory: "groups",
		schemas.KeptOnDevices: "received", schemas.KeptInSettings: "blocked"} {
		if !strings.Contains(said[where], what) {
			t.Errorf("of %s it says %q, and nothing of %s", where, said[where], what)
		}
	}
	phone.wantClose(schemas.CloseDeviceRemoved)
	tablet.wantClose(schemas.CloseDeviceRemoved)
	eventually(t, "the other gateway knows", func() bool {
		p, err := other.conn.Directory().User(other.ctx(), "alice")
		return err == nil && !p.Exists
	})
	for _, at := range []*house{h, other} {
		carol := at.connect("carol")
		carol.say("alice", "anybody there?")
		carol.wantError(schemas.CodeUnknownReceiver)
		for what, got := range map[string]func() (int, schemas.Answer){
			"login":          func() (int, schemas.Answer) { return at.call("", "POST", "/sessions", credentials) },
			"token":          func() (int, schemas.Answer) { return at.as(token, "GET", "/devices", "") },
			"token, writing": func() (int, schemas.Answer) { return at.as(token, "POST", "/devices", `{"name":"x"}`) },
			"settings":       func() (int, schemas.Answer) { return at.as(token, "PUT", "/user/settings", `{"history_storage":90}`) },
		} {
			if status, answer := got(); status != http.StatusUnauthorized || answer.Error.Code != schemas.CodeUnauthenticated {
				t.Errorf("%s: %d %+v", what, status, answer.Error)
			}
		}
		if status, _ := at.call("", "POST", "/accounts", credentials); status != http.StatusConflict {
			t.Errorf("the name is free too early: %d", status)
		}
		if status, _ := at.call("bob", "GET", "/user/alice/status", ""); status != http.StatusNotFound {
			t.Errorf("her status: %d", status)
		}
		for _, hello := range []*schemas.Hello{{Token: token, DeviceName: "new"}, {Token: token, DeviceID: phone.welcome.DeviceID}} {
			d := at.dial()
			d.send(hello)
			d.wantError(schemas.CodeUnauthenticated)
			d.wantClose(schemas.CloseUnauthenticated)
		}
		for _, body := range []string{``, `{"password":"correct horse"}`} { // what was cut short is asked again
			status, answer := at.as(token, "DELETE", "/account", body)
			if status != http.StatusOK || data[schemas.AccountDeleted](t, answer).DeletedAt != deleted.DeletedAt {
				t.Errorf("again: %d %+v", status, answer.Error)
			}
		}
	}
	if p, err := h.conn.Directory().Fresh(h.ctx(), "alice"); err != nil || p.Exists || !p.Deleted {
		t.Errorf("a token of before made her exist again: %+v, %v", p, err)
	}
	bob.roundTrip()

	// Once everything is deleted the name is free, and for somebody else.
	if _, err := h.conn.FinishErasure(h.ctx(), "alice"); err != nil {
		t.Fatal(err)
	}
	if status, answer := other.call("", "POST", "/accounts", credentials); status != http.StatusCreated {
		t.Fatal(status, answer.Error)
	}
	for what, got := range map[string]func() (int, schemas.Answer){
		"devices": func() (int, schemas.Answer) { return other.as(token, "GET", "/devices", "") },
		"deletion": func() (int, schemas.Answer) {
			return other.as(token, "DELETE", "/account", `{"password":"correct horse"}`)
		},
	} {
		if status, _ := got(); status != http.StatusUnauthorized {
			t.Errorf("%s with a token of the one before: %d", what, status)
		}
	}
}

// Who wrote with a user hears of the deletion, on every device, and nobody takes the name.
func TestDeletionIsTold(t *testing.T) {
	const year = 365 * 24 * time.Hour
	h, other := twoHouses(t, func(o *gateway.Options) { o.ReserveNames = year })
	token := signUp(t, h)
	alice, bob, carol := h.join(token), other.connect("bob"), other.connect("carol")
	bob.tell("alice", "hello")
	alice.take()
	want[*schemas.Delivered](bob)
	away := bob.welcome.DeviceID
	goAway(t, other, "bob", bob)
	phone := other.connect("bob") // a second device
	eventually(t, "the receipt is durable", func() bool {
		found := 0
		err := h.conn.Receipts().Changes(time.Unix(0, 0)).OfUser(h.ctx(), "bob", nil, func(items []schemas.ReceiptItem) { found += len(items) })
		return err == nil && found == 1
	})

	status, answer := h.as(token, "DELETE", "/account", `{"password":"correct horse"}`)
	if status != http.StatusOK {
		t.Fatal(status, answer.Error)
	}
	kept := data[schemas.AccountDeleted](t, answer).Kept
	if last := kept[len(kept)-1]; last.Where != schemas.KeptAsName || !strings.Contains(last.What, "365 days") {
		t.Errorf("of the name it says %+v", last)
	}
	live := want[*schemas.UserDeleted](phone)
	if live.UserID != "alice" || live.Cursor == "" || live.Timestamp == 0 {
		t.Errorf("got %+v", live)
	}
	phone.ack(live.MessageID)
	bob = other.reconnect("bob", away, "")
	if late := want[*schemas.UserDeleted](bob); late.UserDeletion != live.UserDeletion {
		t.Errorf("the device that was away got %+v, not %+v", late, live)
	}
	bob.ack(live.MessageID)
	bob.roundTrip()
	goAway(t, other, "bob", bob)
	bob = other.reconnect("bob", away, "")
	want[*schemas.InboxDrained](bob)
	for _, f := range bob.seen {
		if again, ok := f.(*schemas.UserDeleted); ok {
			t.Errorf("acknowledged, and shown again: %+v", again)
		}
	}
	carol.roundTrip()
	for _, f := range carol.seen {
		if stranger, ok := f.(*schemas.UserDeleted); ok {
			t.Errorf("a stranger is told: %+v", stranger)
		}
	}
	if _, err := h.conn.FinishErasure(h.ctx(), "alice"); err != nil {
		t.Fatal(err)
	}
	for _, at := range []*house{h, other} {
		if status, answer := at.call("", "POST", "/accounts", credentials); status != http.StatusConflict || answer.Error.Code != schemas.CodeConflict {
			t.Errorf("the name can be taken: %d %+v", status, answer.Error)
		}
	}
}

// Whoever has a token tries no passwords out: the limit on logins holds for deletions.
func TestDeletionsAreLimited(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits.LoginsPerSecond = 0.01 })
	token, err := h.tokens.Issue("alice")
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := h.call("", "POST", "/accounts", credentials); status != http.StatusCreated {
		t.Fatal(status, answer.Error)
	}
	// Which took the only attempt.
	if status, answer := h.as(token.Token, "DELETE", "/account", `{"password":"wrong horse"}`); status != http.StatusTooManyRequests || answer.Error.RetryAfterMS <= 0 {
		t.Errorf("got %d %+v", status, answer.Error)
	}
}

// A deleted account is remembered for as long as a token of it might be good.
func TestDeletionOutlivesTokens(t *testing.T) {
	if streams.MinEraseMemory <= auth.TokenLifetime {
		t.Errorf("forgotten after %s, and a token is good for %s", streams.MinEraseMemory, auth.TokenLifetime)
	}
}

// bearers is an authenticator of tokens of the form "user issued-at".
type bearers struct{}

func (bearers) Degraded() error { return nil }

func (bearers) Authenticate(_ context.Context, token string) (auth.Identity, error) {
	user, issued, _ := strings.Cut(token, " ")
	at, err := strconv.ParseInt(issued, 10, 64)
	if err != nil {
		return auth.Identity{}, schemas.Errorf(schemas.CodeUnauthenticated, "token: %v", err)
	}
	return auth.Identity{User: schemas.UserID(user), IssuedAt: schemas.Timestamp(at)}, nil
}

// TestDeleteAccountOfAnIssuer: the token is enough, and who logs in again begins
// afresh.
func TestDeleteAccountOfAnIssuer(t *testing.T) {
	h, other := twoHouses(t, func(o *gateway.Options) { o.Auth, o.Accounts = bearers{}, nil })
	token := func(issued schemas.Timestamp) string {
		return "kim@example.org " + strconv.FormatInt(int64(issued), 10)
	}
	if status, _ := h.as(token(schemas.Now()), "DELETE", "/account", ""); status != http.StatusNotFound {
		t.Errorf("who was never here: %d", status)
	}
	old := token(schemas.Now())
	phone := h.join(old)
	if status, answer := other.as(old, "PUT", "/user/settings", `{"last_seen":"nobody"}`); status != http.StatusOK {
		t.Fatal(status, answer.Error)
	}
	status, answer := other.as(old, "DELETE", "/account", "")
	if status != http.StatusOK {
		t.Fatal(status, answer.Error)
	}
	phone.wantClose(schemas.CloseDeviceRemoved)
	fresh := token(data[schemas.AccountDeleted](t, answer).DeletedAt + 1)
	if status, _ := other.as(fresh, "GET", "/devices", ""); status != http.StatusUnauthorized {
		t.Errorf("while it is being deleted: %d", status)
	}
	if _, err := h.conn.FinishErasure(h.ctx(), "kim@example.org"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both gateways know", func() bool {
		p, err := other.conn.Directory().User(other.ctx(), "kim@example.org")
		return err == nil && !p.Deleted
	})
	if status, _ := other.as(old, "GET", "/devices", ""); status != http.StatusUnauthorized {
		t.Errorf("a token of before: %d", status)
	}
	status, answer = other.as(fresh, "GET", "/user/settings", "")
	if status != http.StatusOK || data[schemas.UserSettings](t, answer) != schemas.DefaultSettings().Public() {
		t.Errorf("afresh: %d %s %+v", status, answer.Data, answer.Error)
	}
	d := other.dial()
	d.send(&schemas.Hello{Token: fresh, DeviceID: phone.welcome.DeviceID})
	d.wantError(schemas.CodeDeviceRemoved)
	d.wantClose(schemas.CloseDeviceRemoved)
	other.join(fresh).roundTrip()
}

// TestSendsRacingWithADeletion: each gets an answer, and nothing is left of them
// once everything is deleted.
func TestSendsRacingWithADeletion(t *testing.T) {
	h, other := twoHouses(t)
	token := signUp(t, h)
	phone, bob := h.join(token), other.connect("bob")
	a := addr("alice", phone)
	goAway(t, h, "alice", phone)
	const enough = 5
	began, answered := make(chan struct{}), make(chan error, 1)
	var accepted []schemas.MessageID
	refused := 0
	go func() {
		answered <- func() error {
			for n := schemas.ClientMessageID(0); refused < enough; n++ {
				ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
				err := bob.ws.Write(ctx, websocket.MessageText, schemas.EncodeFrame(message("alice", "x", n+1)))
				cancel()
				if err != nil {
					return err
				}
				f, err := bob.read()
				for ; err == nil; f, err = bob.read() {
					if r, ok := f.(*schemas.MessageReceived); ok {
						accepted = append(accepted, r.MessageID)
						break
					}
					if e, ok := f.(*schemas.ErrorFrame); ok && e.Code == schemas.CodeUnknownReceiver {
						refused++
						break
					} else if ok {
						return errors.New(string(e.Code) + ": " + e.Message)
					}
				}
				if err != nil {
					return err
				}
				if n == 5 {
					close(began)
				}
			}
			return nil
		}()
	}()
	streamstest.Receive(t, began)
	if status, answer := h.as(token, "DELETE", "/account", `{"password":"correct horse"}`); status != http.StatusOK {
		t.Error(status, answer.Error)
	}
	if err := streamstest.Receive(t, answered); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d were accepted, %d refused", len(accepted), refused)
	if err := h.conn.EraseAccount(h.ctx(), "alice"); err != nil { // as a worker does
		t.Fatal(err)
	}
	for _, id := range accepted[max(0, len(accepted)-100):] {
		for _, to := range []subject.Address{a, subject.Unclaimed("alice")} {
			if held, err := h.conn.Holds(h.ctx(), to, id); held || err != nil {
				t.Fatalf("%s is still in %s: %v", id, to.Device, err)
			}
		}
	}
}

// free deletes an account, and returns once its name is free and the gateway has heard so.
func (h *house) free(u schemas.UserID) (deleted schemas.Timestamp) {
	h.t.Helper()
	var heard atomic.Bool
	h.conn.Directory().OnDevices(func(who schemas.UserID, record schemas.Devices) {
		if who == u && record.Erased {
			heard.Store(true)
		}
	})
	deleted, err := h.conn.DeleteAccount(h.ctx(), u, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.conn.FinishErasure(h.ctx(), u); err != nil {
		h.t.Fatal(err)
	}
	eventually(h.t, "the name is free", heard.Load)
	return deleted
}

// TestReceiptsOfTheOneBefore: who takes a name that somebody had before hears
// nothing of their messages.
func TestReceiptsOfTheOneBefore(t *testing.T) {
	h, _ := twoHouses(t, func(o *gateway.Options) { o.Auth, o.Accounts = bearers{}, nil })
	token := func(issued schemas.Timestamp) string { return "alice " + strconv.FormatInt(int64(issued), 10) }
	old := token(schemas.Now())
	bob := h.join("bob 1")
	h.join(old).tell("bob", "of the first")
	waits := want[*schemas.Incoming](bob)
	at := h.free("alice")
	second := h.join(token(at + 1))
	bob.ack(waits.MessageID)
	bob.roundTrip()
	own := second.tell("bob", "of the second")
	bob.take()
	last := want[*schemas.Delivered](second)
	for _, r := range append(seen[*schemas.Delivered](second), last) {
		if r.MessageID != own.MessageID {
			t.Errorf("a receipt of %s, not of her own %s", r.MessageID, own.MessageID)
		}
	}
	goAway(t, h, "alice", second)
	bob.leave()
	third := second.welcome.DeviceID
	receipts := func() []schemas.ReceiptItem {
		d := h.dial()
		d.hello(&schemas.Hello{Token: token(at + 1), DeviceID: third})
		var items []schemas.ReceiptItem
		for {
			f, err := d.read()
			if err != nil {
				t.Fatal(err)
			}
			switch f := f.(type) {
			case *schemas.Receipts:
				items = append(items, f.Items...)
			case *schemas.InboxDrained:
				d.leave()
				return items
			}
		}
	}
	// A watermark in a message of the first one, which carol's device got only now.
	if err := h.conn.Receipts().Advance(h.ctx(), "alice", "carol", schemas.Watermark{DeliveredUpTo: waits.MessageID}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "her own receipt", func() bool {
		items := receipts()
		for _, i := range items {
			if i.UserID == "carol" {
				t.Fatalf("a receipt of the first one's: %+v", i)
			}
		}
		return len(items) == 1 && items[0].DeliveredUpTo == own.MessageID
	})
}

// TestReadsOfTheOneBefore: nor what is read of them, or done with them in a group of which
// both were members.
func TestReadsOfTheOneBefore(t *testing.T) {
	h, _ := twoHouses(t, func(o *gateway.Options) { o.Auth, o.Accounts = bearers{}, nil })
	token := func(u string, issued schemas.Timestamp) string { return u + " " + strconv.FormatInt(int64(issued), 10) }
	bob, first := h.join(token("bob", 1)), h.join(token("alice", schemas.Now()))
	status, answer := h.as(token("bob", 1), "POST", "/groups", `{"group_name":"friends","members":["alice"]}`)
	if status != http.StatusCreated {
		t.Fatalf("%d %+v", status, answer.Error)
	}
	id := data[schemas.GroupInfo](t, answer).GroupID
	direct, inGroup := first.tell("bob", "of the first"), first.tellGroup(id, "of the first, to all")
	for range 2 {
		want[*schemas.Incoming](bob)
	}
	at := h.free("alice")
	second := h.join(token("alice", at+1))
	if status, answer := h.as(token("bob", 1), "POST", "/groups/"+string(id)+"/members", `{"user_id":"alice"}`); status != http.StatusOK {
		t.Fatalf("%d %+v", status, answer.Error)
	}
	second.wantUpdates("bob added alice member")
	h.as(token("bob", 1), "GET", "/groups/"+string(id), "") // the gateway's group is of now
	bob.send(&schemas.Read{MessageID: direct.MessageID, SenderID: "alice"})
	bob.send(&schemas.Read{MessageID: inGroup.MessageID, SenderID: "alice", GroupID: id})
	bob.ack(inGroup.MessageID)
	bob.roundTrip()
	own := second.tellGroup(id, "of the second")
	bob.take()
	last := want[*schemas.Delivered](second)
	for _, r := range append(seen[*schemas.Delivered](second), last) {
		if r.MessageID != own.MessageID {
			t.Errorf("a receipt of %s, not of her own %s", r.MessageID, own.MessageID)
		}
	}
	for _, r := range seen[*schemas.ReadBy](second) {
		t.Errorf("she is shown %+v, of the one before", r)
	}
}
