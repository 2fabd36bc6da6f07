package bench

import (
	"math"
	"strings"
	"testing"
	"time"
)

// line is a series of a minute with a reading every 5 s: its value at 0, and its growth in a
// second.
func line(name string, value, perSecond float64) Series {
	s := Series{Name: name}
	for at := 0.0; at <= 60; at += 5 {
		s.Readings = append(s.Readings, Reading{at, value + perSecond*at})
	}
	return s
}

// saw adds a value to every other reading.
func saw(s Series, by float64) Series {
	for i := range s.Readings {
		s.Readings[i].Value += by * float64(i%2)
	}
	return s
}

// TestFit: the trend of a line is its slope, and readings beside the line make it uncertain.
func TestFit(t *testing.T) {
	for _, c := range []struct {
		name      string
		readings  []Reading
		perSecond float64
		deviation float64
	}{
		{"none", nil, 0, math.Inf(1)},
		{"one", []Reading{{3, 7}}, 0, math.Inf(1)},
		{"at one moment", []Reading{{3, 7}, {3, 9}, {3, 8}}, 0, math.Inf(1)},
		{"two", []Reading{{0, 7}, {2, 9}}, 1, math.Inf(1)},
		{"flat", line("", 5, 0).Readings, 0, 0},
		{"a line", line("", 100, -2.5).Readings, -2.5, 0},
		{"late", line("", 100, 2).Readings[6:], 2, 0},
		// By hand: the slope of 0, 3, 3, 6 at 0, 1, 2, 3 is 9/5, the squares of the rest sum
		// up to 1.8, and the error is √(1.8/2/5).
		{"with noise", []Reading{{0, 0}, {1, 3}, {2, 3}, {3, 6}}, 1.8, math.Sqrt(0.18)},
	} {
		got := fit(c.readings)
		near := func(a, b float64) bool { return a == b || math.Abs(a-b) < 1e-9 }
		if !near(got.perSecond, c.perSecond) || !near(got.deviation, c.deviation) {
			t.Errorf("%s: %+v, want %v ± %v", c.name, got, c.perSecond, c.deviation)
		}
	}
}

// TestJudge: the verdict names the series that grow, that exceed a bound, or that were not
// read.
func TestJudge(t *testing.T) {
	o := SteadyOptions{Rate: 1000, Senders: 50, Receivers: 300, Duration: time.Minute, Sample: 5 * time.Second}
	flat := func() map[string]Series {
		all := make(map[string]Series)
		for _, s := range []Series{
			saw(line(seriesMemory, 200, 0), 12), line(seriesGoroutines, 500, 0), line(seriesDescriptors, 400, 0),
			saw(line(seriesNotRemoved, 3000, 0), 900), line(seriesOffered, 1000, 0), line(seriesAccepted, 999, 0),
			saw(line(messagesOf("INBOX"), 4000, 0), 1000), line(messagesOf("SENT"), 3200, 0),
			line(messagesOf("KV_RECEIPTS"), 300, 0), line(messagesOf(otherStreams), 1000, 0),
		} {
			all[s.Name] = s
		}
		return all
	}
	high := line(seriesNotRemoved, 3000, 0)
	high.Readings[2].Value = 10_001
	jump := line(seriesMemory, 200, 0) // in the last reading alone, which is no trend
	jump.Readings[len(jump.Readings)-1].Value = 500
	for _, c := range []struct {
		name string
		with []Series
		want string // in the only reason; empty: flat
	}{
		{name: "flat"},
		{"memory grows", []Series{line(seriesMemory, 229, 1.25)}, seriesMemory},
		{"memory grows with noise", []Series{saw(line(seriesMemory, 229, 1.25), 12)}, seriesMemory},
		{"memory has noise", []Series{saw(line(seriesMemory, 229, 0.01), 60)}, ""},
		{"memory jumps once", []Series{jump}, ""},
		{"memory grows by a MiB", []Series{line(seriesMemory, 229, 0.03)}, ""},
		{"memory falls", []Series{line(seriesMemory, 400, -3)}, ""},
		{"memory grows by less than two blocks of a stream", []Series{line(seriesMemory, 229, 0.39)}, ""},
		{"memory grows by more than two blocks of a stream", []Series{line(seriesMemory, 229, 0.41)}, seriesMemory},
		{"goroutines leak", []Series{line(seriesGoroutines, 500, 1)}, seriesGoroutines},
		{"descriptors leak", []Series{line(seriesDescriptors, 500, 1)}, seriesDescriptors},
		{"the inbox grows", []Series{line(messagesOf("INBOX"), 4000, 300)}, "INBOX"},
		{"another stream grows", []Series{line(messagesOf(otherStreams), 4000, 300)}, otherStreams},
		{"removal falls behind once", []Series{high}, "10,001 at most, bound 10,000"},
		{"removal was not read", []Series{{Name: seriesNotRemoved}}, seriesNotRemoved + ": 0 readings"},
		{"too little is accepted", []Series{line(seriesAccepted, 989, 0)}, "accepted: 989.0/s"},
		{"too little is offered", []Series{line(seriesOffered, 989, 0), line(seriesAccepted, 989, 0)}, "offered: 989.0/s"},
		{"nothing is accepted", []Series{{Name: seriesAccepted}}, "accepted: 0/s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := flat()
			for _, s := range c.with {
				all[s.Name] = s
			}
			list := make([]Series, 0, len(all))
			for _, s := range all {
				list = append(list, s)
			}
			f := judge(o, list)
			switch {
			case c.want == "" && (!f.Flat || f.Err() != nil || len(f.Reasons) > 0):
				t.Errorf("it is %s: %q", f.Verdict(), f.Reasons)
			case c.want != "" && (f.Flat || f.Err() == nil || len(f.Reasons) != 1 || !strings.Contains(f.Reasons[0], c.want)):
				t.Errorf("it is %s: %q, want %q", f.Verdict(), f.Reasons, c.want)
			}
			if len(f.Bounds) < 10 {
				t.Errorf("it names %d bounds: %q", len(f.Bounds), f.Bounds)
			}
		})
	}
}

// TestJudgeRedelivered: at most a second of acknowledged entries may be redelivered.
func TestJudgeRedelivered(t *testing.T) {
	for seconds, flat := range map[float64]bool{0: true, 1: true, 1.01: false} {
		f := Flatness{Flat: true}
		if f.redelivers(seconds); f.Flat != flat || (f.Err() == nil) != flat {
			t.Errorf("%v s: %+v", seconds, f)
		}
	}
	if err := (*Flatness)(nil).Err(); err != nil {
		t.Errorf("a result without a verdict: %v", err)
	}
}

// TestFill: the warm-up lasts a minute, or until the streams keep the most ids and a gateway
// keeps the most messages of each receiver.
func TestFill(t *testing.T) {
	for _, c := range []struct {
		rate      float64
		receivers int
		window    time.Duration
		want      time.Duration
	}{
		{1500, 300, 10 * time.Second, time.Minute},
		{1500, 300, 2 * time.Minute, 2 * time.Minute},
		{1500, 3000, 10 * time.Second, 128 * time.Second},
		{1500, 30_000, 2 * time.Minute, 1280 * time.Second},
	} {
		if got := (SteadyOptions{Rate: c.rate, Receivers: c.receivers}).Fill(c.window); got != c.want {
			t.Errorf("%g/s, %d receivers, ids for %v: %v, want %v", c.rate, c.receivers, c.window, got, c.want)
		}
	}
}
