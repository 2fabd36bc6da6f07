package gateway_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"roost/gateway"
	"roost/gateway/api"
	"roost/gateway/socket"
	"roost/gateway/wakeups"
	"roost/schemas"
	"roost/streams"
	"roost/streams/channel"
	"roost/streams/presence"
)

// protocolTable are the rows of the first table under a heading of docs/protocol.md.
func protocolTable(t *testing.T, heading string) (rows [][]string) {
	t.Helper()
	data, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(data), "\n"+heading+"\n")
	_, text, ok := strings.Cut(text, "\n|---")
	if !ok {
		t.Fatalf("protocol.md has no table under %q", heading)
	}
	for line := range strings.Lines(text[strings.Index(text, "\n")+1:]) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

// Each code of an HTTP answer has the status that the table of error codes says,
// and Retry-After where it is worth to wait.
func TestStatusOfEachCode(t *testing.T) {
	h := newHouse(t)
	said := make(map[schemas.Code]bool)
	for _, row := range protocolTable(t, "## Error codes") {
		if row[1] == "" {
			continue
		}
		statuses := strings.Split(row[1], ", ")
		for i, code := range strings.Split(row[0], ", ") {
			code := schemas.Code(strings.Trim(code, "`"))
			said[code] = true
			w := httptest.NewRecorder()
			h.server.Fail(w, httptest.NewRequest("GET", "/", nil), &schemas.Error{Code: code, Message: "x", RetryAfterMS: 1500})
			if got := strconv.Itoa(w.Code); got != statuses[i] {
				t.Errorf("%s is answered with %s, and the table says %s", code, got, statuses[i])
			}
			if got := w.Header().Get("Retry-After"); got != "2" {
				t.Errorf("%s: Retry-After is %q for 1,500 ms", code, got)
			}
		}
	}
	for code, status := range api.Statuses {
		if !said[code] {
			t.Errorf("%s is answered with %d, and the table says nothing", code, status)
		}
	}
}

// Each path of the table is served, with that method, and none besides.
func TestPathsOfTheProtocol(t *testing.T) {
	source, err := os.ReadFile("api/router.go")
	if err != nil {
		t.Fatal(err)
	}
	served := make(map[string]bool)
	for _, m := range regexp.MustCompile(`"([A-Z]+ /[^"]*)"`).FindAllStringSubmatch(string(source), -1) {
		served[m[1]] = false
	}
	route := regexp.MustCompile(`[A-Z]+ /[a-z_/{}]*`)
	for _, row := range protocolTable(t, "### Paths") {
		path := route.FindString(row[0])
		if _, ok := served[path]; !ok {
			t.Errorf("%q is not served", path)
		}
		served[path] = true
	}
	for path, said := range served {
		if !said {
			t.Errorf("%s is not in the table", path)
		}
	}
}

// TestLimitsOfTheProtocol: the table in docs/protocol.md has the defaults of a server.
func TestLimitsOfTheProtocol(t *testing.T) {
	h := newHouse(t)
	o := h.server.Defaults()
	// The defaults of the flags in package cmd. TestDefaultsOfTheProtocol compares these.
	l := gateway.Limits{ConnectionsPerUser: 12, ConnectionsPerAddress: 1000, FramesPerSecond: 1000, SendsPerSecond: 50, LoginsPerSecond: 5}
	n := func(n int64) string {
		if n < 1000 {
			return fmt.Sprint(n)
		}
		return fmt.Sprintf("%d,%03d", n/1000, n%1000)
	}
	kib := func(n int) string { return fmt.Sprintf("%d KiB", n>>10) }
	s := func(d time.Duration) string { return fmt.Sprintf("%g s", d.Seconds()) }
	days := func(d time.Duration) string { return fmt.Sprintf("%g days", d.Hours()/24) }
	rate := func(perSecond float64) string {
		return fmt.Sprintf("%s a second, bursts of %g s", n(int64(perSecond)), float64(gateway.Burst(perSecond))/perSecond)
	}
	limits := map[string]string{
		"a client's frame, an HTTP body (of `POST /groups`: " + kib(api.MaxGroupBody) + ")": kib(schemas.MaxFrameBytes),
		"content":                                                   n(schemas.MaxContentRunes) + " code points",
		"unacknowledged entries of a device":                        n(schemas.MaxInFlight),
		"outstanding sends of a connection":                         n(schemas.MaxOutstanding),
		"frames of a connection":                                    rate(l.FramesPerSecond),
		"sends of a connection":                                     rate(l.SendsPerSecond),
		"log-ins and new accounts of an address":                    rate(l.LoginsPerSecond),
		"connections of a user on one gateway":                      n(int64(l.ConnectionsPerUser)),
		"connections of an address on one gateway":                  n(int64(l.ConnectionsPerAddress)),
		"devices of a user":                                         n(int64(o.MaxDevices)),
		"members of a group":                                        n(int64(o.MaxGroupMembers)) + ", up to " + n(schemas.MaxGroupMembers) + "; 1 MB for the record of the group",
		"members of a group whose messages are copied to each":      n(int64(o.GroupPushLimit)),
		"messages of a channel":                                     n(channel.MaxEntries) + ", for " + days(streams.DefaultInboxMaxAge),
		"remembered requests with an `Idempotency-Key`":             fmt.Sprintf("the last %d of a user, for %d hours", schemas.MaxRequests, schemas.RequestMemory/3600_000),
		"time without a connection of a device":                     "30 days", // TestDefaultsOfTheProtocol
		"running exports of a user; of a gateway":                   "1; " + n(api.MaxExports),
		"users in a presence list":                                  n(schemas.MaxPresenceUsers),
		"presence lists of a connection":                            fmt.Sprintf("%d a second, bursts of %d", gateway.SubscribesPerSecond, gateway.MaxSubscribes),
		"`typing` of a connection in one chat; chats with `typing`": fmt.Sprintf("one in %s; %d in %s", s(gateway.TypingEvery), gateway.MaxTyping, s(gateway.TypingEvery)),
		"a reaction": n(schemas.MaxReactionRunes) + " code points",
		"chats in which messages disappear by a user's choice": n(schemas.MaxTimers),
		"blocked users of a user":                              n(schemas.MaxBlocks) + ", " + kib(schemas.MaxBlocksBytes) + " of ids",
		"entries of one inbox":                                 n(streams.DefaultInboxMaxMessages) + ", for " + days(streams.DefaultInboxMaxAge),
	}
	if api.MaxBody != schemas.MaxFrameBytes {
		t.Errorf("a body has %d bytes, and a frame %d", api.MaxBody, schemas.MaxFrameBytes)
	}
	for _, row := range protocolTable(t, "## Limits") {
		if want, ok := limits[row[0]]; !ok || row[1] != want {
			t.Errorf("%q: the table says %q, and the code %q", row[0], row[1], want)
		}
		delete(limits, row[0])
	}
	for what := range limits {
		t.Errorf("%q is not in the table", what)
	}
}

// What the text of the protocol says of times and numbers is what the code has.
func TestNumbersOfTheProtocol(t *testing.T) {
	data, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(data)), " ")
	h := newHouse(t)
	o := h.server.Defaults()
	s := func(d time.Duration) string { return fmt.Sprintf("%g s", d.Seconds()) }
	for _, says := range []string{
		"The first frame is `hello`, within " + s(o.HelloTimeout),
		"Send something at least every `heartbeat_ms` (" + s(o.Heartbeat) + ")",
		"online from their first device's connection until " + s(o.PresenceGrace) + " after the end",
		fmt.Sprintf("a write takes longer than %s, or if more than %d,%03d frames or %d MiB wait for the socket. While %d KiB wait for the socket, messages wait in the inbox",
			s(socket.WriteTimeout), gateway.MaxOutbox/1000, gateway.MaxOutbox%1000, gateway.MaxOutboxBytes>>20, gateway.MaxUnwritten>>10),
		fmt.Sprintf("the last %d messages that this connection acknowledged, for %g minutes", gateway.MaxRecent, gateway.RecentFor.Minutes()),
		fmt.Sprintf("In each chat the server forwards at most one `typing` in %s of a connection, and in at most %d chats in %[1]s", s(gateway.TypingEvery), gateway.MaxTyping),
		"may wait for room in that queue, for up to " + s(gateway.RoomTimeout),
		fmt.Sprintf("In a group of at most %d members", schemas.MaxReceiptMembers),
		fmt.Sprintf("in up to %d of its user's small groups", schemas.MaxReceiptGroups),
		fmt.Sprintf("The server remembers the last %d removed devices of a user", schemas.MaxRemoved),
		fmt.Sprintf("the last %d accepted sends of each device", schemas.MaxOutstanding),
		fmt.Sprintf("the %d newest messages of the chat", schemas.HistoryPageSize),
		fmt.Sprintf("of the last %d days", schemas.HistoryDays),
		fmt.Sprintf("the next one of that channel comes no sooner than %s later", s(wakeups.Again)),
		fmt.Sprintf("one `wake_up` for each of up to %d of its user's channels", schemas.MaxWakeUps),
		fmt.Sprintf("Of each message the page has the last %d changes of reactions", channel.MaxReactions),
		"After a gateway dies, its users are offline within " + s(3*presence.LeaseEvery),
	} {
		if !strings.Contains(text, says) {
			t.Errorf("protocol.md does not say %q, which is what the code has", says)
		}
	}
	if o.PresenceRecheck != time.Minute || o.ReadDelay != time.Second {
		t.Errorf("a lost change shows after %s, and not about a minute; what was read is durable after %s, and not a second", o.PresenceRecheck, o.ReadDelay)
	}
}
