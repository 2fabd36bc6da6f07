package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"roost/streams"
	"roost/streams/streamstest"
)

// TestStreamMetrics: scrapes within a second share one answer of NATS, and a stream
// that does not answer has no series.
func TestStreamMetrics(t *testing.T) {
	clock := time.Unix(1000, 0)
	asked := 0
	answer := []streams.StreamState{{Name: "INBOX_0", Messages: 3, Bytes: 400}}
	var failed error
	s := newStreamStates(func(ctx context.Context) ([]streams.StreamState, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("NATS is asked without a deadline")
		}
		asked++
		return answer, failed
	}, streamstest.Log(t))
	s.now = func() time.Time { return clock }
	r := prometheus.NewRegistry()
	r.MustRegister(s)
	scrape := func(want ...string) {
		t.Helper()
		out := httptest.NewRecorder()
		promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		var got []string
		for line := range strings.Lines(out.Body.String()) {
			if !strings.HasPrefix(line, "#") {
				got = append(got, strings.TrimSpace(line))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	const bytes, messages, failures = `roost_stream_bytes{stream="INBOX_0"} 400`, `roost_stream_messages{stream="INBOX_0"} 3`, "roost_stream_reads_failed_total "
	scrape(bytes, messages, failures+"0")
	answer, failed = nil, errors.New("no answer")
	scrape(bytes, messages, failures+"0")
	if asked != 1 {
		t.Errorf("two scrapes at once asked NATS %d times", asked)
	}
	clock = clock.Add(streamStatesFresh)
	scrape(failures + "1")
	scrape(failures + "1") // a failure is not asked for again at once
	if asked != 2 {
		t.Errorf("a scrape after a second, and one right after it, asked NATS %d times in all", asked)
	}
}
