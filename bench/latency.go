package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latency is a histogram of durations from 1 µs to 5 minutes, to 3 digits. It may
// be used concurrently.
type latency struct {
	mu   sync.Mutex
	hist *hdrhistogram.Histogram
}

func newLatency() *latency {
	return &latency{hist: hdrhistogram.New(1, int64(5*time.Minute/time.Microsecond), 3)}
}

// record adds a duration in nanoseconds. A longer one than the histogram holds counts as the
// longest.
func (l *latency) record(ns int64) {
	us := min(max(ns/1000, 1), l.hist.HighestTrackableValue())
	l.mu.Lock()
	_ = l.hist.RecordValue(us) // in range
	l.mu.Unlock()
}

// take returns the summary and empties the histogram.
func (l *latency) take() Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.summarize()
	l.hist.Reset()
	return s
}

// Latency is a distribution in milliseconds.
type Latency struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
	// Curve holds points for a plot, from the 1st percentile on.
	Curve []Point `json:"curve,omitempty"`
}

// Point says that a share of Percent took at most MS milliseconds.
type Point struct {
	Percent float64 `json:"percent"`
	MS      float64 `json:"ms"`
}

// percentiles of the curve.
var percentiles = []float64{1, 5, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99}

// summary reads the histogram.
func (l *latency) summary() Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.summarize()
}

// summarize is summary with the lock held.
func (l *latency) summarize() Latency {
	at := func(p float64) float64 { return float64(l.hist.ValueAtPercentile(p)) / 1000 }
	s := Latency{Count: l.hist.TotalCount(), Mean: l.hist.Mean() / 1000,
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(l.hist.Max()) / 1000}
	if s.Count > 0 {
		for _, p := range percentiles {
			s.Curve = append(s.Curve, Point{p, at(p)})
		}
	}
	return s
}
