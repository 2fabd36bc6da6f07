package chat

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"roost/client"
	"roost/schemas"
)

func TestChat(t *testing.T) {
	srv := chatServer(t)
	bob := startChat(t, srv.URL, "bob", nil)
	bob.sees(`The account bob is created\.`)
	bob.sees(`You are bob on laptop.*`)
	alice := startChat(t, srv.URL, "alice", func(o *Options) { o.To = "bob" })
	alice.types("Dinner at eight?")
	alice.sees(`✓ Dinner at eight\?`)
	bob.sees(`\[\d\d:\d\d\] alice: Dinner at eight\?`)
	alice.sees(`✓✓ Dinner at eight\?`)

	bob.types("with whom")
	bob.sees(`no chat is open; /to NAME opens one`)
	bob.types("/to alice", "", "//quit is a command", "So: gladly")
	bob.sees(`You write to alice\.`)
	for _, text := range []string{"/quit is a command", "So: gladly"} {
		alice.sees(`\[\d\d:\d\d\] bob: ` + text)
	}
	bob.sees(`✓✓ So: gladly`)

	alice.types("/to zoe", "Anyone?")
	alice.sees(`✗ Anyone\?: not sent: there is no such user\. Nothing was stored`)
	long := strings.Repeat("x", schemas.MaxContentRunes+1)
	alice.types(long)
	alice.sees(`✗ ` + long + `: not sent: the text has 1001 characters\. At most 1000 are allowed`)
	alice.types("/to bob", "Good night", "/edit Good night!", "/quit")
	if err := alice.ends(); err != nil {
		t.Errorf("alice: %v", err)
	}
	alice.sees(`✓ edit: Good night!`)
	bob.sees(`.* alice edited .*: Good night!`)
	_ = bob.stdin.Close()
	if err := bob.ends(); err != nil {
		t.Errorf("bob: %v", err)
	}
}

func TestCommands(t *testing.T) {
	srv := chatServer(t)
	srv.Account("bob", "correct horse")
	alice := startChat(t, srv.URL, "alice", nil)
	for _, step := range []struct{ line, pattern string }{
		{"/help", `  /quit +end the chat`},
		{"/history", `no chat is open; .*`},
		{"/reply 1 Gladly", `there is no such message here; .*`},
		{"/reply one Gladly", `give a number: 1 is the newest.*`},
		{"/reply 1", `  /reply N TEXT .*`},
		{"/devices", `01\w{24}  laptop, since \d{4}-\d\d-\d\d, this one`},
		{"/device remove laptop", `that is this device.*`},
		{"/device remove phone", `you have no device phone; .*`},
		{"/status alice", `alice is online, last active \d\d:\d\d\.`},
		{"/status bob", `bob is offline\.`},
		{"/status carol", `there is no such user`},
		{"/status g-x", `a user id does not start with.*`},
		{"/set", `history off, lastseen everyone, receipts on`},
		{"/set history on", `history on, lastseen everyone, receipts on`},
		{"/set lastseen nobody", `history on, lastseen nobody, receipts on`},
		{"/set receipts off", `history on, lastseen nobody, receipts off`},
		{"/set history 7", `say on or off`},
		{"/set receipts maybe", `say on or off`},
		{"/set lastseen friends", `must be "everyone" or .*`},
		{"/set colour blue", `usage:`},
		{"/to bob", `You write to bob\.`},
		{"/history", `No history with bob is stored.*`},
		{"/history older", `use /history first`},
		{"/history bob", `  /history older .*`},
		{"/group add bob", `no group is open; .*`},
		{"/group list", `You are in no group.*`},
		{"/group open Dinner", `you are in no group Dinner; .*`},
		{"/group", `  /group create NAME .*`},
		{"/watch", `You watch no user.*`},
		{"/watch g-x", `g-x: a user id does not start with.*`},
		{"/unwatch bob", `you do not watch bob; .*`},
		{"/blocks", `You block no user\.`},
		{"/block alice", `the user is you; you cannot block yourself`},
		{"/block carol", `there is no such user`},
		{"/block", `  /block USER .*`},
		{"/export", `  /export FILE .*`},
		{"/export /nowhere/x", `.*no such file or directory`},
		{"/delete-account bob", `you are alice; nothing was deleted`},
		{"/group create " + strings.Repeat("x", 129), `a name has 1 to 128 bytes, this one has 129`},
		{"/to g-", `.*group id.*`},
		{"/to", `  /to NAME .*`},
		{"/dance", `there is no command /dance; /help lists all`},
	} {
		alice.types(step.line)
		alice.sees(step.pattern)
	}
	alice.end() // as SIGINT does
	if err := alice.ends(); err != nil {
		t.Errorf("alice: %v", err)
	}
}

// What is piped in is sent and answered before the chat ends; what is known of
// the device lets the next one go on.
func TestPiped(t *testing.T) {
	srv := chatServer(t)
	state := filepath.Join(t.TempDir(), "alice")
	srv.Account("bob", "correct horse")
	opts := Options{Server: srv.URL, User: "alice", Password: "correct horse", Register: true, To: "bob", Device: "laptop", State: state}
	for range 2 {
		var out bytes.Buffer
		var in strings.Builder
		for range 100 {
			in.WriteString("a line\n")
		}
		in.WriteString("the last") // without an end of line
		if err := Run(t.Context(), opts, strings.NewReader(in.String()), &out); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "✓ a line\n"); n != 100 || !strings.Contains(out.String(), "✓ the last\n") {
			t.Errorf("%d lines were answered:\n%s", n, out.String())
		}
	}
	if _, err := os.Stat(filepath.Join(state, "device.json")); err != nil {
		t.Error(err)
	}

	// With the state lost, the device is known by its name.
	opts.State, opts.Register = filepath.Join(t.TempDir(), "other"), false
	var out bytes.Buffer
	if err := Run(t.Context(), opts, strings.NewReader("/devices\n"), &out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "laptop, since"); n != 1 {
		t.Errorf("%d devices:\n%s", n, out.String())
	}
}

func TestSurvivesALostConnection(t *testing.T) {
	srv := chatServer(t)
	bob := startChat(t, srv.URL, "bob", nil)
	bob.sees(`You are bob.*`)
	alice := startChat(t, srv.URL, "alice", func(o *Options) { o.To = "bob" })
	alice.types("one")
	alice.sees(`✓✓ one`)
	srv.Break()
	alice.types("two", "/edit three")
	alice.sees(`✓✓ two`)
	bob.sees(`.* alice: two`)
	bob.sees(`.* alice edited \(re: two\): three`)
}

// Who ends a chat while the server is away hears what was not sent.
func TestEndsWhileTheServerIsAway(t *testing.T) {
	srv := chatServer(t)
	srv.Account("bob", "correct horse")
	state := filepath.Join(t.TempDir(), "state")
	alice := startChat(t, srv.URL, "alice", func(o *Options) { o.To, o.State = "bob", state })
	alice.types("one")
	alice.sees(`✓ one`)
	srv.stop()
	alice.sees(`The connection is lost\. You can go on typing\.`)
	alice.types("two", "/edit three", "/status bob", "/quit")
	alice.sees(`the server cannot be reached: .*refused`)
	alice.sees(`✗ two: not sent`)
	alice.sees(`✗ edit: three: not sent`)
	if err := alice.ends(); err != nil {
		t.Errorf("alice: %v", err)
	}
	if text := alice.saw(); strings.Contains(text, "unknown") {
		t.Errorf("alice saw:\n%s", text)
	}
	srv.start(srv.address())
	again := startChat(t, srv.URL, "alice", func(o *Options) { o.State = state })
	again.types("/blocks")
	if text := again.until(`You block no user\.`); strings.Contains(text, "retried") {
		t.Errorf("what was not sent is:\n%s", text)
	}
}

// At the end the session shows the answers that came meanwhile, and counts the messages
// without one.
func TestFarewell(t *testing.T) {
	c, out := offlineSession(t, "alice", "bob")
	to := c.open.peer
	c.sender.unreported = []result{
		{outgoing: outgoing{to: to, text: "one"}, sent: schemas.MessageReceived{MessageID: chatMessageID(1)}},
		{outgoing: outgoing{to: to, text: "two"}, err: &client.UnknownOutcomeError{Number: 2, Err: context.Canceled}},
		{outgoing: outgoing{to: to, text: "three"}, err: context.Canceled},
		{outgoing: outgoing{to: to, text: "four"}, err: schemas.Errorf(schemas.CodeInboxFull, "Full.")},
	}
	c.sender.outgoing <- outgoing{to: to, text: "five"}
	c.sender.unanswered = 5
	c.farewell(true)
	expected := "✓ one\n✗ three: not sent\n✗ four: not sent: Full\n✗ five: not sent\n" +
		"Messages whose outcome is unknown: 1. The next start retries them.\n"
	if out.String() != expected {
		t.Errorf("shown:\n%s", out)
	}
	out.Reset()
	c.sender.unreported = nil
	c.farewell(false) // of a device that was removed, say
	if out.String() != "Messages whose outcome is unknown: 1.\n" {
		t.Errorf("shown:\n%s", out)
	}
}

func TestCannotStart(t *testing.T) {
	srv := chatServer(t)
	srv.Account("alice", "correct horse")
	good := Options{Server: srv.URL, User: "alice", Password: "correct horse", Device: "laptop", State: t.TempDir()}
	for name, test := range map[string]struct {
		change func(*Options)
		says   string
		usage  bool
	}{
		"no password":    {func(o *Options) { o.Password = "" }, "ROOST_PASSWORD", true},
		"bad user":       {func(o *Options) { o.User = "g-x" }, "--user", true},
		"bad server":     {func(o *Options) { o.Server = "roost" }, "--server", true},
		"bad peer":       {func(o *Options) { o.To = "g-x" }, "--to", true},
		"bad device":     {func(o *Options) { o.Device = strings.Repeat("x", 200) }, "--device", true},
		"wrong password": {func(o *Options) { o.Password = "wrong horse" }, "--register", false},
		"wrong password, register": {func(o *Options) { o.Password, o.Register = "wrong horse", true },
			"The user_id or the password is wrong", false},
		"no server": {func(o *Options) { o.Server = "http://127.0.0.1:1" }, "refused", false},
		"bad token": {func(o *Options) { o.Token = "nonsense" }, "token: ", false},
	} {
		t.Run(name, func(t *testing.T) {
			opts := good
			test.change(&opts)
			err := Run(t.Context(), opts, strings.NewReader(""), io.Discard)
			var refused *OptionsError
			if err == nil || !strings.Contains(err.Error(), test.says) || errors.As(err, &refused) != test.usage {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

// away is a proxy that says unavailable to the first requests of each path.
func away(t *testing.T, to string, requests int) string {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	var mu sync.Mutex
	asked := make(map[string]int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path]++
		refuse := asked[r.URL.Path] <= requests
		mu.Unlock()
		if refuse {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"status":"failed","error":{"code":"unavailable","message":"Keep the token.","retry_after_ms":1}}`)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// A server that cannot check a user now is asked again.
func TestWaitsForTheServer(t *testing.T) {
	srv := chatServer(t)
	alice := startChat(t, away(t, srv.URL, 1), "alice", nil)
	alice.sees("The server cannot let you in now; retrying: Keep the token")
	alice.sees("You are alice on laptop.*")
	alice.types("/quit")
	if err := <-alice.done; err != nil {
		t.Error(err)
	}
}

func TestDeviceRemoved(t *testing.T) {
	srv := chatServer(t)
	alice := startChat(t, srv.URL, "alice", nil)
	alice.sees(`You are alice.*`)
	other := startChat(t, srv.URL, "alice", nil) // the same name: it takes the device over
	other.sees(`You are alice.*`)
	if err := alice.ends(); err == nil || !strings.Contains(err.Error(), "taken this device over") {
		t.Errorf("alice: %v", err)
	}
	other.end()
	if err := other.ends(); err != nil {
		t.Errorf("the other: %v", err)
	}
}

// A state folder belongs to one device: no other device name and no other user connects with
// it.
func TestStateOfAnotherDevice(t *testing.T) {
	srv := chatServer(t)
	state := filepath.Join(t.TempDir(), "state")
	laptop := startChat(t, srv.URL, "alice", func(o *Options) { o.To, o.State = "alice", state })
	laptop.types("A note")
	laptop.sees(`✓ A note`)
	for name, test := range map[string]struct{ user, device, says string }{
		"another device": {"alice", "phone", "belongs to your device laptop; name another folder with --state for phone"},
		"another user":   {"bob", "laptop", "belongs to a device of another user; name another folder with --state"},
	} {
		p := startChat(t, srv.URL, test.user, func(o *Options) { o.Device, o.State = test.device, state })
		if err := p.ends(); err == nil || err.Error() != filepath.Join(state, "device.json")+" "+test.says {
			t.Errorf("%s: %v", name, err)
		}
	}
	laptop.types("/quit")
	if err := laptop.ends(); err != nil { // no other device took it over
		t.Errorf("the laptop: %v", err)
	}
	unnamed := startChat(t, srv.URL, "alice", func(o *Options) { o.Device, o.State = "", state })
	unnamed.sees(`You are alice on laptop.*`)
}

func TestState(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	opts, err := Options{Server: "https://chat.example.org:8443/x", User: "../x"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	rest, found := strings.CutPrefix(opts.State, filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "roost")+string(filepath.Separator))
	if !found || strings.Contains(rest, ".") || strings.Count(rest, string(filepath.Separator)) != 1 || opts.Device == "" {
		t.Errorf("State %q, Device %q", opts.State, opts.Device)
	}
}

func TestClean(t *testing.T) {
	for text, expected := range map[string]string{
		"plain":                    "plain",
		"\x1b[2Jbye\a":             "\uFFFD[2Jbye\uFFFD",
		"a\n[12:00] bob: forged\r": "a\n    [12:00] bob: forged\uFFFD",
		"\u202Egnp.exe":            "\uFFFDgnp.exe",
		"👩‍👩‍👧":                    "👩‍👩‍👧",
	} {
		if got := clean(text); got != expected {
			t.Errorf("clean(%q) = %q", text, got)
		}
	}
}

// /help fits a terminal of 80 columns, and every command is in it.
func TestHelpFits(t *testing.T) {
	s, _ := offlineSession(t, "alice", "bob")
	for _, topic := range s.commands {
		for _, k := range topic.commands {
			if n := utf8.RuneCountInString(k.usage()); n > 80 {
				t.Errorf("%d columns: %s", n, k.usage())
			}
			if found, _, err := s.commands.find(k.name + strings.Repeat(" x", k.least)); err != nil || found.name != k.name {
				t.Errorf("%s is found as %q, %v", k.name, found.name, err)
			}
		}
	}
}
