package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roost/streams"
)

const (
	// streamStatesTimeout bounds how long a scrape waits for NATS.
	streamStatesTimeout = 2 * time.Second
	// streamStatesFresh is for how long scrapes share one answer, so that scrapes
	// cannot load NATS.
	streamStatesFresh = time.Second
)

// streamStates is a collector of the sizes of all streams. It requests them from NATS when it is
// scraped, one scrape at a time. A stream that does not answer has no series in that scrape, and
// counts as failed.
type streamStates struct {
	// Static.
	read            func(context.Context) ([]streams.StreamState, error)
	log             *slog.Logger
	now             func() time.Time
	messages, bytes *prometheus.Desc
	failures        prometheus.Counter

	mu      sync.Mutex // guards the rest; held while NATS is asked, at most streamStatesTimeout
	askedAt time.Time  // when NATS was asked last
	states  []streams.StreamState
	failed  bool
}

func newStreamStates(read func(context.Context) ([]streams.StreamState, error), log *slog.Logger) *streamStates {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("roost_stream_"+name, help, []string{"stream"}, nil)
	}
	return &streamStates{read: read, log: log, now: time.Now,
		messages: desc("messages", "Messages in a stream; of a bucket, its keys."),
		bytes:    desc("bytes", "Bytes of the messages in a stream."),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "roost_stream_reads_failed_total",
			Help: "Scrapes that could not read the size of every stream."})}
}

// Describe implements [prometheus.Collector].
func (s *streamStates) Describe(ch chan<- *prometheus.Desc) {
	ch <- s.messages
	ch <- s.bytes
	s.failures.Describe(ch)
}

// Collect implements [prometheus.Collector].
func (s *streamStates) Collect(ch chan<- prometheus.Metric) {
	for _, state := range s.current() {
		ch <- prometheus.MustNewConstMetric(s.messages, prometheus.GaugeValue, float64(state.Messages), state.Name)
		ch <- prometheus.MustNewConstMetric(s.bytes, prometheus.GaugeValue, float64(state.Bytes), state.Name)
	}
	s.failures.Collect(ch)
}

// current returns the sizes that NATS reported within the last second, or requests them. A failure
// also lasts a second.
func (s *streamStates) current() []streams.StreamState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Sub(s.askedAt) < streamStatesFresh {
		return s.states
	}
	ctx, cancel := context.WithTimeout(context.Background(), streamStatesTimeout)
	defer cancel()
	states, err := s.read(ctx)
	if err != nil {
		s.failures.Inc()
		if !s.failed { // one warning each time that reads begin to fail
			s.log.Warn("the sizes of some streams could not be read; metrics leave them out", "error", err)
		}
	}
	s.states, s.failed, s.askedAt = states, err != nil, s.now()
	return s.states
}
