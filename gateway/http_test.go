package gateway_test

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"roost/gateway"
	"roost/schemas"
	"roost/streams/streamstest"
)

func data[T any](t testing.TB, a schemas.Answer) T {
	t.Helper()
	v, err := schemas.Decode[T](a.Data)
	if err != nil {
		t.Fatalf("%s: %v", a.Data, err)
	}
	return v
}

func TestAccountsAndSessions(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits = gateway.Limits{} })
	const body = `{"user_id":"alice","password":"correct horse"}`
	status, answer := h.call("", "POST", "/accounts", body)
	if status != http.StatusCreated || data[schemas.AccountCreated](t, answer).UserID != "alice" {
		t.Fatalf("POST /accounts answered %d %s", status, answer.Data)
	}
	status, answer = h.call("", "POST", "/sessions", body)
	token := data[schemas.Token](t, answer)
	if status != http.StatusOK || token.ExpiresAt.Time().Before(time.Now()) {
		t.Fatalf("POST /sessions answered %d %+v", status, token)
	}
	if u, err := h.tokens.Authenticate(h.ctx(), token.Token); err != nil || u.User != "alice" {
		t.Errorf("the token is of %+v (%v)", u, err)
	}
	for _, c := range []struct {
		name, path, body string
		status           int
		code             schemas.Code
	}{
		{"name taken", "/accounts", body, 409, schemas.CodeConflict},
		{"wrong password", "/sessions", `{"user_id":"alice","password":"wrong horse"}`, 401, schemas.CodeUnauthenticated},
		{"unknown user", "/sessions", `{"user_id":"nobody","password":"wrong horse"}`, 401, schemas.CodeUnauthenticated},
		{"short password", "/sessions", `{"user_id":"alice","password":"short"}`, 401, schemas.CodeUnauthenticated},
		{"empty password", "/sessions", `{"user_id":"alice","password":""}`, 401, schemas.CodeUnauthenticated},
		{"long password", "/sessions", `{"user_id":"alice","password":"` + strings.Repeat("x", schemas.MaxPasswordBytes+1) + `"}`, 401, schemas.CodeUnauthenticated},
		{"name of nobody", "/sessions", `{"user_id":"a b","password":"correct horse"}`, 401, schemas.CodeUnauthenticated},
		{"no name", "/sessions", `{"password":"correct horse"}`, 401, schemas.CodeUnauthenticated},
		{"no text", "/sessions", `{"user_id":"alice","password":7}`, 400, schemas.CodeInvalidArgument},
		{"not JSON", "/accounts", `user_id=alice`, 400, schemas.CodeBadFrame},
		{"bad name", "/accounts", `{"user_id":"a b","password":"correct horse"}`, 400, schemas.CodeInvalidArgument},
		{"group's name", "/accounts", `{"user_id":"g-x","password":"correct horse"}`, 400, schemas.CodeInvalidArgument},
		{"short password", "/accounts", `{"user_id":"bob","password":"short"}`, 400, schemas.CodeInvalidArgument},
		{"too big", "/accounts", `{"user_id":"bob","password":"` + strings.Repeat("x", 17<<10) + `"}`, 400, schemas.CodeBadFrame},
	} {
		if status, answer := h.call("", "POST", c.path, c.body); status != c.status || answer.Status != schemas.StatusFailed || answer.Error.Code != c.code {
			t.Errorf("%s: got %d %+v", c.name, status, answer.Error)
		}
	}
}

// A log-in that cannot be right takes as long as a wrong one: time tells nothing.
func TestImpossibleLoginsTakeAsLong(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits = gateway.Limits{} })
	signUp(t, h)
	allocated := func() uint64 {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.TotalAlloc
	}
	// The hash of a password takes megabytes, and nothing else in a log-in does.
	var wrong uint64
	for _, body := range []string{`{"user_id":"alice","password":"wrong horse"}`, `{"user_id":"alice","password":"short"}`, `{"user_id":"a b","password":"wrong horse"}`, `{}`} {
		before := allocated()
		if status, _ := h.call("", "POST", "/sessions", body); status != http.StatusUnauthorized {
			t.Fatalf("%s got %d", body, status)
		}
		took := allocated() - before
		if wrong == 0 {
			wrong = took
		}
		if took < 4<<20 || took < wrong/2 {
			t.Errorf("%s allocated %d bytes, a wrong password %d: it hashes none", body, took, wrong)
		}
	}
}

func TestLoginsAreLimited(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits.LoginsPerSecond = 0.01 })
	h.call("", "POST", "/sessions", `{"user_id":"alice","password":"guess number 1"}`)
	status, answer := h.call("", "POST", "/sessions", `{"user_id":"alice","password":"guess number 2"}`)
	if status != http.StatusTooManyRequests || answer.Error.RetryAfterMS <= 0 {
		t.Errorf("got %d %+v", status, answer.Error)
	}
}

func TestExternalIssuerHasNoAccounts(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Accounts = nil })
	for _, path := range []string{"/accounts", "/sessions"} {
		if status, _ := h.call("", "POST", path, `{}`); status != http.StatusNotFound {
			t.Errorf("POST %s answered %d", path, status)
		}
	}
}

func TestDevices(t *testing.T) {
	h := newHouse(t)
	var ids []schemas.DeviceID
	for _, name := range []string{"phone", "tablet", "laptop"} {
		status, answer := h.call("alice", "POST", "/devices", `{"name":"`+name+`"}`)
		d := data[schemas.DeviceInfo](t, answer)
		if status != http.StatusCreated || d.Name != name || d.CreatedAt == 0 {
			t.Fatalf("got %d %+v", status, d)
		}
		ids = append(ids, d.DeviceID)
	}
	if status, answer := h.call("alice", "POST", "/devices", `{"name":"fourth"}`); status != http.StatusConflict || answer.Error.Code != schemas.CodeDeviceLimit {
		t.Errorf("a fourth got %d %+v", status, answer.Error)
	}
	if status, answer := h.call("alice", "POST", "/devices", `{"name":""}`); status != http.StatusBadRequest || !strings.Contains(answer.Error.Message, "name") {
		t.Errorf("no name got %d %+v", status, answer.Error)
	}
	_, answer := h.call("alice", "GET", "/devices", "")
	if list := data[[]schemas.DeviceInfo](t, answer); len(list) != 3 || list[1].DeviceID != ids[1] {
		t.Errorf("the list is %+v", list)
	}
	for _, c := range []struct {
		as     schemas.UserID
		id     string
		status int
	}{{"bob", string(ids[0]), 404}, {"alice", "nonsense", 400}, {"alice", string(ids[0]), 200}, {"alice", string(ids[0]), 404}} {
		if status, _ := h.call(c.as, "DELETE", "/devices/"+c.id, ""); status != c.status {
			t.Errorf("%s deleting %s got %d, want %d", c.as, c.id, status, c.status)
		}
	}
	_, answer = h.call("bob", "GET", "/devices", "")
	if string(answer.Data) != "[]" {
		t.Errorf("no devices are %s, want []", answer.Data)
	}
}

func TestSettings(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		body   string
		status int
		want   schemas.UserSettings
	}{
		{`{}`, 200, schemas.UserSettings{HistoryStorage: 0, LastSeen: "everyone", ReadReceipts: true}},
		{`{"history_storage":90}`, 200, schemas.UserSettings{HistoryStorage: 90, LastSeen: "everyone", ReadReceipts: true}},
		{`{"last_seen":"nobody","read_receipts":false}`, 200, schemas.UserSettings{HistoryStorage: 90, LastSeen: "nobody"}},
		{`{"history_storage":7}`, 400, schemas.UserSettings{}},
		{`{"last_seen":"friends"}`, 400, schemas.UserSettings{}},
		{`{"history_storage":"0"}`, 400, schemas.UserSettings{}},
		{`{"history_storage":0}`, 200, schemas.UserSettings{LastSeen: "nobody"}},
	} {
		status, answer := h.call("alice", "PUT", "/user/settings", c.body)
		if status != c.status {
			t.Fatalf("%s got %d %+v", c.body, status, answer.Error)
		}
		if status != 200 {
			continue
		}
		if got := data[schemas.UserSettings](t, answer); got != c.want {
			t.Errorf("%s got %+v, want %+v", c.body, got, c.want)
		}
		_, answer = h.call("alice", "GET", "/user/settings", "")
		if got := data[schemas.UserSettings](t, answer); got != c.want {
			t.Errorf("after %s: %+v, want %+v", c.body, got, c.want)
		}
	}
}

func TestStatus(t *testing.T) {
	h := newHouse(t)
	status := func(as, of schemas.UserID) schemas.UserStatus {
		t.Helper()
		code, answer := h.call(as, "GET", "/user/"+string(of)+"/status", "")
		if code != http.StatusOK {
			t.Fatalf("got %d %+v", code, answer.Error)
		}
		return data[schemas.UserStatus](t, answer)
	}
	alice := h.connect("alice")
	if s := status("bob", "alice"); s.ConnectionState != "online" || s.LastActiveTime == 0 {
		t.Errorf("connected: %+v", s)
	}
	alice.leave()
	eventually(t, "offline after the end", func() bool { return status("bob", "alice").ConnectionState == "online 1 minute ago" })
	tablet := h.connect("alice")
	before := schemas.Now()
	h.call("alice", "DELETE", "/devices/"+string(tablet.welcome.DeviceID), "")
	tablet.wantClose(schemas.CloseDeviceRemoved)
	if s := status("bob", "alice"); s.ConnectionState != "online 1 minute ago" || s.LastActiveTime < before {
		t.Errorf("the device used last was removed after %d: %+v", before, s)
	}
	h.call("alice", "PUT", "/user/settings", `{"last_seen":"nobody"}`)
	h.reconnect("alice", alice.welcome.DeviceID, "")
	if s := status("bob", "alice"); s != (schemas.UserStatus{ConnectionState: "offline"}) {
		t.Errorf("hidden: %+v", s)
	}
	if s := status("alice", "alice"); s.ConnectionState != "online" {
		t.Errorf("hidden from oneself: %+v", s)
	}
	h.token("carol")
	if s := status("bob", "carol"); s != (schemas.UserStatus{ConnectionState: "offline"}) {
		t.Errorf("never connected: %+v", s)
	}
	if code, _ := h.call("bob", "GET", "/user/nobody/status", ""); code != http.StatusNotFound {
		t.Errorf("an unknown user got %d", code)
	}
}

func TestEveryAnswerIsOfTheProtocol(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		method, path string
		status       int
		code         schemas.Code
	}{
		{"GET", "/nothing", 404, schemas.CodeNotFound},
		{"PATCH", "/devices", 405, schemas.CodeMethodNotAllow},
		{"GET", "/devices", 401, schemas.CodeUnauthenticated},
		{"POST", "/devices", 401, schemas.CodeUnauthenticated},
		{"GET", "/user/settings", 401, schemas.CodeUnauthenticated},
		{"GET", "/history/bob", 401, schemas.CodeUnauthenticated},
		{"GET", "/user/bob/status", 401, schemas.CodeUnauthenticated},
		{"GET", "/user/bob/status?token=" + h.token("alice"), 401, schemas.CodeUnauthenticated},
	} {
		if status, answer := h.call("", c.method, c.path, ""); status != c.status || answer.Error == nil || answer.Error.Code != c.code {
			t.Errorf("%s %s got %d %+v", c.method, c.path, status, answer.Error)
		}
	}
}

func TestHealth(t *testing.T) {
	h := newHouse(t)
	if status, _ := h.call("", "GET", "/healthz", ""); status != http.StatusOK {
		t.Errorf("healthz answered %d", status)
	}
	ready := func() (int, schemas.Readiness) {
		status, answer := h.call("", "GET", "/readyz", "")
		return status, data[schemas.Readiness](t, answer)
	}
	if status, r := ready(); status != http.StatusOK || !r.Ready || r.Degraded["history"] == "" {
		t.Errorf("without a worker: %d %+v", status, r)
	}
	alice, bob := h.connect("alice"), h.connect("bob")
	alice.tell("bob", "counted")
	bob.take()
	bob.roundTrip()
	resp, err := http.Get(h.http.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"roost_gateway_connections 2", "roost_gateway_messages_accepted_total 1",
		"roost_gateway_messages_delivered_total 1", "roost_gateway_messages_acknowledged_total 1",
		`roost_stream_messages{stream="SENT_0"} 1`, `roost_stream_messages{stream="KV_SESSIONS"} 2`, "roost_stream_reads_failed_total 0"} {
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("the metrics lack %q", line)
		}
	}
	h.nats.Stop()
	eventually(t, "readyz names NATS", func() bool {
		status, r := ready()
		return status == http.StatusServiceUnavailable && r.Missing["nats"] != ""
	})
}

// TestReadyNeedsTheLease: nobody can connect to a gateway whose lease NATS does not take.
func TestReadyNeedsTheLease(t *testing.T) {
	h := newHouse(t)
	h.server.StartedAgo(time.Hour)
	ready := func() schemas.Readiness {
		_, answer := h.call("", "GET", "/readyz", "")
		return data[schemas.Readiness](t, answer)
	}
	eventually(t, "the lease", func() bool { return ready().Ready })
	leases, err := streamstest.JetStream(t, h.nats).KeyValue(h.ctx(), "GATEWAYS")
	if err != nil {
		t.Fatal(err)
	}
	if err := leases.Delete(h.ctx(), h.name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "readyz names the lease", func() bool { r := ready(); return !r.Ready && r.Missing["lease"] != "" })
	eventually(t, "the lease again", func() bool { return ready().Ready })
}

// TestPathsThatAreNotClean: a path that would have to be cleaned is none, and the answer is
// as every other, not a redirection.
func TestPathsThatAreNotClean(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"//healthz", "/groups//members", "/groups/../devices", "/user/./status", "/user//status"} {
		req, err := http.NewRequestWithContext(h.ctx(), "GET", h.http.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if status, answer := h.do(req); status != http.StatusNotFound || answer.Error.Code != schemas.CodeNotFound {
			t.Errorf("%s: %d %+v", path, status, answer.Error)
		}
	}
	if status, answer := h.call("alice", "GET", "/user/%2E%2E/status", ""); status != http.StatusBadRequest || answer.Error.Code != schemas.CodeInvalidArgument {
		t.Errorf("an id that no user can have: %d %+v", status, answer.Error)
	}
}
