package bench

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Flatness says whether a load can go on for ever: nothing grows, and no backlog stays.
type Flatness struct {
	Flat    bool     `json:"flat"`
	Warmup  float64  `json:"warmup_s"`          // the load before the first reading
	Bounds  []string `json:"bounds"`            // each measured value with its bound
	Reasons []string `json:"reasons,omitempty"` // why it is not flat
}

// bound is the bound of a series.
type bound struct {
	series string
	// share and least: the trend may grow by this share of the mean an hour, or by
	// least if that is more.
	share, least float64
	// noise is the growth within the readings, by the trend, that does not count: a garbage
	// collection or a batch may cause it.
	noise float64
	// most bounds each reading; 0: no bound.
	most float64
}

const (
	// memoryNoise is two blocks of a stream, 8 MiB each, and half as much garbage on top of
	// them. NATS holds blocks in memory while removal reads them, and
	// their number changes with the moment.
	memoryNoise = 24
	// leastAccepted is the smallest accepted share of the requested rate.
	leastAccepted = 0.99
	// mostRedelivered bounds the redelivered entries after a cut, in seconds of load.
	mostRedelivered = 1.0
	// removedWithin bounds the time from an acknowledgement to the removal of the entry,
	// unless the device has fewer than removedEntries to remove.
	removedWithin  = 5 * time.Second
	removedEntries = 256
	// significant is the smallest difference of a trend from 0, in standard errors.
	significant = 2
)

// toRemove bounds the acknowledged entries that are not removed yet: those of removedWithin,
// and removedEntries of each receiver but at most as many.
func (o SteadyOptions) toRemove() float64 {
	recent := o.Rate * removedWithin.Seconds()
	return recent + math.Min(recent, removedEntries*float64(o.Receivers))
}

// bounds returns the bounds of a load.
func (o SteadyOptions) bounds() []bound {
	list := []bound{
		{series: seriesMemory, share: 0.1, least: 32, noise: memoryNoise},
		{series: seriesGoroutines, share: 0.1, least: 100, noise: 20},
		{series: seriesDescriptors, share: 0.1, least: 100, noise: 20},
		{series: seriesNotRemoved, least: o.toRemove(), noise: 2 * o.Rate, most: o.toRemove()},
	}
	// A stream may hold the entries to remove, the last sends of each sender and one
	// receipt for each receiver.
	kept := o.toRemove() + float64(64*o.Senders+o.Receivers)
	for _, name := range streamSeries {
		list = append(list, bound{series: messagesOf(name), least: kept, noise: 2 * o.Rate})
	}
	return list
}

// judge compares series with the bounds of a load.
func judge(o SteadyOptions, all []Series) Flatness {
	f := Flatness{Warmup: o.Warmup.Seconds()}
	byName := make(map[string]Series)
	for _, s := range all {
		byName[s.Name] = s
	}
	for _, b := range o.bounds() {
		f.keeps(b, byName[b.series])
	}
	f.accepts(o, byName[seriesOffered], byName[seriesAccepted])
	f.Flat = len(f.Reasons) == 0
	return f
}

// look adds a bound, and the reason if it is exceeded.
func (f *Flatness) look(kept bool, format string, values ...any) {
	text := fmt.Sprintf(format, values...)
	f.Bounds = append(f.Bounds, text)
	if !kept {
		f.Reasons = append(f.Reasons, text)
	}
}

const (
	// leastReadings is how many readings of a series a verdict needs.
	leastReadings = 3
	// LeastSamples is the shortest load in units of its Sample, so that a trend differs from
	// noise.
	LeastSamples = 8
)

// keeps compares a series with its bound. A series without readings exceeds it.
func (f *Flatness) keeps(b bound, s Series) {
	readings := s.Readings
	if len(readings) < leastReadings {
		f.look(false, "%s: %d readings, and a trend needs %d", b.series, len(readings), leastReadings)
		return
	}
	t, level := fit(readings), mean(readings)
	hourly, may := t.perSecond*time.Hour.Seconds(), math.Max(b.share*level, b.least)
	grown := t.perSecond * (readings[len(readings)-1].At - readings[0].At)
	grows := hourly > may && grown > b.noise && t.perSecond > significant*t.deviation
	f.look(!grows, "%s: %s on average, trend %s an hour (%s within the readings), may grow %s an hour or %s within the readings",
		b.series, text(level, s.Unit), signed(hourly, s.Unit), signed(grown, s.Unit), text(may, s.Unit), text(b.noise, s.Unit))
	if b.most > 0 {
		highest := most(readings)
		f.look(highest <= b.most, "%s: %s at most, bound %s", b.series, text(highest, s.Unit), text(b.most, s.Unit))
	}
}

// accepts compares the accepted sends with the offered ones, and these with the rate.
func (f *Flatness) accepts(o SteadyOptions, offered, accepted Series) {
	in, out := mean(offered.Readings), mean(accepted.Readings)
	f.look(in >= leastAccepted*o.Rate, "offered: %s, at least %.0f %% of the requested rate, %s", text(in, "/s"), 100*leastAccepted, text(o.Rate, "/s"))
	f.look(out >= leastAccepted*in && in > 0, "accepted: %s, at least %.0f %% of the offered rate, %s", text(out, "/s"), 100*leastAccepted, text(in, "/s"))
}

// redelivers compares the redelivered entries after the cut with their bound.
func (f *Flatness) redelivers(seconds float64) {
	f.look(seconds <= mostRedelivered, "redelivered acknowledged entries: %s of load, at most %s", text(seconds, "s"), text(mostRedelivered, "s"))
	f.Flat = len(f.Reasons) == 0
}

// Err returns the reasons why the load is not flat; nil if it is, or has no verdict.
func (f *Flatness) Err() error {
	if f == nil || f.Flat {
		return nil
	}
	return fmt.Errorf("not flat: %s", strings.Join(f.Reasons, "; "))
}

// Verdict returns the verdict in words.
func (f *Flatness) Verdict() string {
	if f.Flat {
		return "flat"
	}
	return "not flat"
}

func text(value float64, unit string) string { return Figure{Value: value, Unit: unit}.Text() }

func signed(value float64, unit string) string {
	if value < 0 {
		return text(value, unit)
	}
	return "+" + text(value, unit)
}
