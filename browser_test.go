package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"roost/client"
	"roost/schemas"
)

// chromium is the path of a browser. Without one the test is skipped; where CI says that
// everything is to be tested, it fails.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const says = "there is no Chromium: run make browser-deps as root, or install the package chromium"
	if os.Getenv("CI") == "true" {
		t.Fatal(says)
	}
	t.Skip(says)
	return ""
}

// startBrowser starts a headless Chromium with an empty profile, and ends it with the test.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*timeout) // of all that the browser does
	t.Cleanup(cancel)
	ctx, end := chromedp.NewExecAllocator(ctx, chromedp.ExecPath(chromium(t)), chromedp.Headless, chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true))
	t.Cleanup(end)
	ctx, end = chromedp.NewContext(ctx)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("Chromium does not start: %v", err)
	}
	return ctx
}

// tab is a web page that is open in the browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// open shows the client's page, of the origin of pages, to use a server.
func open(t *testing.T, browser context.Context, pages *httptest.Server, s *server) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(browser)
	t.Cleanup(end)
	if err := chromedp.Do(ctx, chromedp.Navigate(pages.URL+"/page.html?server="+url.QueryEscape(s.url))); err != nil {
		t.Fatal(err)
	}
	return &tab{t, ctx}
}

// does runs JavaScript in the page and returns what its promise gives.
func does[V any](p *tab, js string) V {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[V](js, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", js, err)
	}
	return value
}

// servePages serves the client's page from an origin of its own.
func servePages(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.FileServer(http.Dir("testdata/browser")))
	t.Cleanup(s.Close)
	return s
}

// answer is what the page tells of an HTTP request.
type answer struct {
	Status          int          `json:"status"`
	Code            schemas.Code `json:"code"`
	RetryAfter      string       `json:"retry_after"`
	WWWAuthenticate string       `json:"www_authenticate"`
}

// TestBrowser has pages of another origin register, log in, chat, acknowledge and read history in
// Chromium, and pages of an origin that is not allowed do none of it.
func TestBrowser(t *testing.T) {
	browser := startBrowser(t)
	pages, strange := servePages(t), servePages(t)
	s := start(t, "serve", "--data-dir", t.TempDir(), "--http", "127.0.0.1:0", "--min-free-disk", "0",
		"--allowed-origins", "https://unused.example, "+pages.URL+"/")
	alice, bob := open(t, browser, pages, s), open(t, browser, pages, s)
	for user, page := range map[string]*tab{"alice": alice, "bob": bob} {
		if a := does[answer](page, `roost.call("GET", "/devices")`); a.Status != 401 || a.Code != schemas.CodeUnauthenticated || a.WWWAuthenticate != "Bearer" {
			t.Errorf("without a token the page reads %+v", a)
		}
		if got := does[[]int](page, fmt.Sprintf(`roost.logIn(%q, "correct horse")`, user)); !slices.Equal(got, []int{201, 200}) {
			t.Fatalf("registering and logging in got %v", got)
		}
		if a := does[answer](page, `roost.call("PUT", "/user/settings", {history_storage: 90})`); a.Status != 200 {
			t.Fatalf("the settings got %+v", a)
		}
		if w := does[schemas.Welcome](page, `roost.connect()`); w.UserID != schemas.UserID(user) {
			t.Fatalf("the welcome is %+v", w)
		}
		if protocol := does[string](page, `roost.alive()`); protocol != "roost.v1" {
			t.Errorf("the WebSocket has the subprotocol %q", protocol)
		}
	}
	newest := testBrowserChats(t, alice, bob)
	testBrowserReadsHistory(t, bob, newest)
	testBrowserOfAnotherOrigin(t, open(t, browser, strange, s)) // while the address may log in
	// Retry-After can be read once the log-ins of the address are used up: one round of attempts
	// does that, unless the machine is so slow that the budget grows faster.
	eventually(t, "the log-ins of the address are used up", func() bool {
		refused := does[[]answer](alice, `Promise.all(Array.from({length: 60}, () => roost.call("POST", "/sessions", {})))`)
		i := slices.IndexFunc(refused, func(a answer) bool { return a.Status == 429 })
		if i >= 0 && refused[i].RetryAfter == "" {
			t.Errorf("the page cannot read Retry-After of %+v", refused[i])
		}
		return i >= 0
	})
	for _, page := range []*tab{alice, bob} {
		does[[]string](page, `roost.leave()`)
	}
	// Nothing of what the strange page did had an effect: the account that it tried to make is none.
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	api := client.API{URL: s.url}
	eventually(t, "the log-ins of the address", func() bool {
		_, err := api.Login(ctx, "mallory", "correct horse")
		if schemas.AsError(err).Code == schemas.CodeRateLimited {
			return false
		}
		if schemas.AsError(err).Code != schemas.CodeUnauthenticated {
			t.Errorf("the strange page's account: %v", err)
		}
		return true
	})
	if log := s.log.String(); !strings.Contains(log, "origin="+strange.URL) || !strings.Contains(log, "host="+s.address()) || strings.Contains(log, "origin="+pages.URL) {
		t.Errorf("the log does not name the origin %s and the host %s:\n%s", strange.URL, s.address(), tail(log, 4000))
	}
	s.stop()
}

// testBrowserChats has alice write 25 messages and bob answer. It returns the id of the answer.
func testBrowserChats(t *testing.T, alice, bob *tab) schemas.MessageID {
	for i := range 25 {
		id := does[schemas.MessageID](alice, fmt.Sprintf(`roost.send("bob", "message %d")`, i))
		if m := does[schemas.Incoming](bob, `roost.take()`); m.MessageID != id || m.SenderID != "alice" || m.Content != fmt.Sprintf("message %d", i) {
			t.Fatalf("bob's page got %+v for message %d, %s", m, i, id)
		}
		if d := does[schemas.Delivered](alice, `roost.next("message_delivered")`); d.MessageID != id || d.UserID != "bob" {
			t.Fatalf("alice's page hears %+v", d)
		}
	}
	answer := does[schemas.MessageID](bob, `roost.send("alice", "gladly")`)
	if m := does[schemas.Incoming](alice, `roost.take()`); m.MessageID != answer || m.Content != "gladly" {
		t.Fatalf("alice's page got %+v", m)
	}
	// What was acknowledged does not come again to the same device.
	does[[]string](bob, `roost.leave()`)
	does[schemas.Welcome](bob, `roost.connect()`)
	does[schemas.InboxDrained](bob, `roost.next("inbox_drained")`)
	if frames := does[[]string](bob, `roost.leave()`); slices.Contains(frames, "incoming_message") {
		t.Errorf("bob's page gets again what it has: %v", frames)
	}
	does[schemas.Welcome](bob, `roost.connect()`)
	return answer
}

// testBrowserReadsHistory reads both pages of the chat.
func testBrowserReadsHistory(t *testing.T, bob *tab, newest schemas.MessageID) {
	pages := does[[][]string](bob, fmt.Sprintf(`roost.history("alice", %q)`, newest))
	want := []string{"gladly"}
	for i := 24; i >= 0; i-- {
		want = append(want, fmt.Sprintf("message %d", i))
	}
	if len(pages) != 2 || !slices.Equal(slices.Concat(pages...), want) || len(pages[0]) != schemas.HistoryPageSize {
		t.Errorf("the history is %q", pages)
	}
}

// testBrowserOfAnotherOrigin checks that the page reads no answer, opens no WebSocket, and makes no
// account by a request that needs no preflight.
func testBrowserOfAnotherOrigin(t *testing.T, page *tab) {
	for js, want := range map[string]string{
		`roost.call("GET", "/healthz")`:                                      "TypeError: ",
		`roost.call("GET", "/metrics")`:                                      "TypeError: ",
		`roost.logIn("mallory", "correct horse")`:                            "TypeError: ",
		`roost.call("PUT", "/blocks/alice")`:                                 "TypeError: ",
		`form("/accounts", {user_id: "mallory", password: "correct horse"})`: "got opaque 0",
		`(roost.token = "x", roost.connect())`:                               "Error: the WebSocket did not open",
		`new Promise((done) => new WebSocket(roost.server.replace("http", "ws") + "/ws").onclose = (e) => done(e.code))`: "got 1006",
	} {
		if got := does[string](page, "outcome("+js+")"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", js, got)
		}
	}
}
