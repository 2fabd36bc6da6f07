package bench

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// TestSteady runs a steady load small: every message arrives, each figure has its
// series, and the page has a plot of each kind.
func TestSteady(t *testing.T) {
	env := newEnv(t)
	o := SteadyOptions{Rate: 400, Senders: 3, Receivers: 10, Size: 100, Warmup: moment, Duration: 8 * moment, Sample: moment}
	r, err := Steady(within(t), env, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check.Err(); err != nil || r.Check.Sent == 0 || r.Check.Sent != r.Check.Arrived {
		t.Errorf("%v: %s", err, r.Check.text())
	}
	byName := make(map[string]Series)
	for _, s := range r.Series {
		byName[s.Name] = s
	}
	for _, name := range []string{seriesMemory, seriesDescriptors, messagesOf("INBOX"), messagesOf("SENT"),
		seriesNotRemoved, messagesOf("KV_RECEIPTS"), messagesOf(otherStreams), bytesOf("SENT"), seriesOffered, seriesAccepted, "accept p50", "end to end p99"} {
		if n := len(byName[name].Readings); n < 8 {
			t.Errorf("%s has %d readings", name, n)
		}
	}
	if last := byName[messagesOf("KV_RECEIPTS")].Readings; most(last) > 10 {
		t.Errorf("10 receivers of one sender each leave %v receipts", most(last))
	}
	if got := mean(byName[seriesOffered].Readings); got < 300 || got > 500 {
		t.Errorf("%v/s were offered, not 400", got)
	}
	if r.Flatness == nil || r.Flatness.Warmup != o.Warmup.Seconds() {
		t.Fatalf("the verdict is %+v", r.Flatness)
	}
	for _, name := range []string{FigureRedelivered, FigureRedeliveredSeconds, FigureReasons, FigureConnects, FigureSends, FigureCPU} {
		if _, ok := r.Figure(name); !ok {
			t.Errorf("the result has no %q", name)
		}
	}
	report := Report{Results: []Result{r}}
	var table, page bytes.Buffer
	if err := report.WriteTable(&table); err != nil || !strings.Contains(table.String(), r.Flatness.Verdict()+", by readings after a warm-up of 0.2 s") {
		t.Errorf("%v: the table is\n%s", err, table.String())
	}
	if err := report.WriteHTML(&page); err != nil || strings.Count(page.String(), "<svg") < 2+6 {
		t.Errorf("%v: the page has %d plots", err, strings.Count(page.String(), "<svg"))
	}
}

// TestSteadyCountsRedelivered: an entry that was acknowledged before the cut counts as
// redelivered once. During the load, or a second time, it is a duplicate.
func TestSteadyCountsRedelivered(t *testing.T) {
	sender, receiver := &user{index: 0, id: "s"}, &user{index: 1}
	traffic := newTraffic([]*user{sender, receiver})
	l := &link{user: receiver}
	number := sender.note(receiver, 0)
	sender.answer(number, true)
	frame := []byte(`{"type":"incoming_message","message_id":"m","sender_id":"s","message_id_by_client":1,"content":"`)
	frame = append(appendContent(frame, 0, number, MinContent), `"}`...)
	come := func(again, duplicates int64) {
		t.Helper()
		traffic.incoming(l, frame)
		if a, d := traffic.redelivered.Load(), traffic.duplicates.Load(); a != again || d != duplicates {
			t.Errorf("%d are redelivered and %d duplicate, want %d and %d", a, d, again, duplicates)
		}
	}
	come(0, 0)
	come(0, 1)
	sender.cut()
	traffic.cut.Store(true)
	come(1, 1)
	come(1, 2)
	later := sender.note(receiver, 0) // acknowledged only after the cut
	sender.answer(later, true)
	frame = []byte(`{"type":"incoming_message","message_id":"m","sender_id":"s","message_id_by_client":2,"content":"`)
	frame = append(appendContent(frame, 0, later, MinContent), `"}`...)
	come(1, 2)
	come(1, 3)
	sender.trim(1, &Check{})
	come(2, 3) // a dropped record does not say whether it is the second time
}

// TestDropCursor: hello of a device without a cursor resumes from none.
func TestDropCursor(t *testing.T) {
	p := &user{token: "t", device: "d"}
	resumes := func() bool {
		frame := p.hello(nil)
		mask := [4]byte(frame[2:6])
		ws.Cipher(frame[6:], mask, 0)
		return bytes.Contains(frame, []byte("resume_after"))
	}
	p.keepCursor([]byte("c"))
	if !resumes() {
		t.Error("with a cursor, hello does not name it")
	}
	if p.dropCursor(); resumes() {
		t.Error("hello names a dropped cursor")
	}
}

// TestTrim: trim counts and drops the records of complete messages.
func TestTrim(t *testing.T) {
	p, to := &user{}, &user{index: 1}
	for at := range int64(5) {
		number := p.note(to, at)
		if at == 1 {
			p.answer(number, false) // refused
			continue
		}
		p.answer(number, true)
		if at != 3 {
			p.arrive(number, to)
			p.acknowledge(number, to)
		}
	}
	var c Check
	p.trim(1, &c)
	if p.base != 1 {
		t.Errorf("%d were dropped, and 1 is old enough", p.base)
	}
	p.trim(10, &c) // up to the one that has not arrived
	if want := (Check{Sent: 3, Accepted: 2, Refused: 1, Arrived: 2}); c != want || p.base != 3 || len(p.records) != 2 {
		t.Errorf("%+v, %d records after %d", c, len(p.records), p.base)
	}
	p.finish(&c)
	if want := (Check{Sent: 5, Accepted: 4, Refused: 1, Arrived: 3, Missing: 1}); c != want {
		t.Errorf("in all %+v, want %+v", c, want)
	}
}

// TestScrape: a metric with labels other than stream is left out, and what is no answer
// of a gateway is an error.
func TestScrape(t *testing.T) {
	answer, status := "", http.StatusOK
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	defer web.Close()
	answer = "# TYPE a gauge\na 1.5\n# TYPE b counter\nb{code=\"x\"} 2\n# TYPE c gauge\nc{stream=\"INBOX_0\"} 3\n"
	m, err := scrape(within(t), web.URL)
	if err != nil || len(m) != 2 || m["a"] != 1.5 || m["c{INBOX_0}"] != 3 {
		t.Errorf("%v, %v", m, err)
	}
	answer = "<html>"
	if m, err := scrape(within(t), web.URL); err == nil {
		t.Errorf("a page is read as %v", m)
	}
	answer, status = "", http.StatusServiceUnavailable
	if m, err := scrape(within(t), web.URL); err == nil {
		t.Errorf("a refusal is read as %v", m)
	}
}

// TestSteadyNotKillable: the bench kills no server of --url.
func TestSteadyNotKillable(t *testing.T) {
	env := NewEnv(&Server{URLs: []string{"http://127.0.0.1:1"}}, nil)
	if _, err := Steady(context.Background(), env, SteadyOptions{Kill: true, Duration: time.Second}); err == nil {
		t.Error("there is a result")
	}
}
