package bench

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Flatness says whether a load can go on for ever: nothing grows, and nothing waits.
type Flatness struct {
	Flat    bool     `json:"flat"`
	Warmup  float64  `json:"warmup_s"`          // the load before the first reading
	Bounds  []string `json:"bounds"`            // what was looked at: the measured value and its bound
	Reasons []string `json:"reasons,omitempty"` // why it is not flat
}

// bound is what a series must keep to.
type bound struct {
	series string
	// share and least: the trend may grow by this share of the mean an hour, or by
	// least if that is more.
	share, least float64
	// noise is growth within the readings, by the trend, that counts as none: what a
	// collection of garbage or a batch leaves.
	noise float64
	// most is a value that no reading exceeds; 0: any.
	most float64
}

const (
	// memoryNoise is two blocks of a stream, 8 MiB each, and the garbage that may come on
	// top of them, half as much. NATS holds blocks in memory while removal reads them, and
	// their number changes with the moment.
	memoryNoise = 24
	// leastAccepted is the share of the rate asked for that has to be accepted.
	leastAccepted = 0.99
	// mostAgain is how many seconds of load may come again after a cut.
	mostAgain = 1.0
	// removedWithin is within which time an acknowledged entry has to be removed, or
	// while so few wait for one device.
	removedWithin  = 5 * time.Second
	removedEntries = 256
	// significant is how many standard errors a trend has to differ from 0.
	significant = 2
)

// toRemove is how many acknowledged entries may wait to be removed: those of
// removedWithin, and removedEntries of each receiver but at most as many again.
func (o SteadyOptions) toRemove() float64 {
	recent := o.Rate * removedWithin.Seconds()
	return recent + math.Min(recent, removedEntries*float64(o.Receivers))
}

// bounds are those of a load.
func (o SteadyOptions) bounds() []bound {
	list := []bound{
		{series: seriesMemory, share: 0.1, least: 32, noise: memoryNoise},
		{series: seriesGoroutines, share: 0.1, least: 100, noise: 20},
		{series: seriesDescriptors, share: 0.1, least: 100, noise: 20},
		{series: seriesNotRemoved, least: o.toRemove(), noise: 2 * o.Rate, most: o.toRemove()},
	}
	// A stream may hold what waits to be removed, the last sends of each sender and
	// one receipt for each receiver.
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

// look enters a bound that was looked at, and the reason if it is not kept.
func (f *Flatness) look(kept bool, format string, values ...any) {
	text := fmt.Sprintf(format, values...)
	f.Bounds = append(f.Bounds, text)
	if !kept {
		f.Reasons = append(f.Reasons, text)
	}
}

const (
	// leastReadings is how many readings a verdict needs of a series.
	leastReadings = 3
	// LeastSamples is how many times its Sample a load lasts at least, so that a trend
	// differs from noise.
	LeastSamples = 8
)

// keeps compares a series with its bound. A series that was not read keeps none.
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
		f.look(highest <= b.most, "%s: %s at most, may be %s", b.series, text(highest, s.Unit), text(b.most, s.Unit))
	}
}

// accepts compares what was accepted with what was offered, and that with the rate.
func (f *Flatness) accepts(o SteadyOptions, offered, accepted Series) {
	in, out := mean(offered.Readings), mean(accepted.Readings)
	f.look(in >= leastAccepted*o.Rate, "offered: %s, has to be %.0f %% of the rate asked for, %s", text(in, "/s"), 100*leastAccepted, text(o.Rate, "/s"))
	f.look(out >= leastAccepted*in && in > 0, "accepted: %s, has to be %.0f %% of what is offered, %s", text(out, "/s"), 100*leastAccepted, text(in, "/s"))
}

// returned compares what came again after the cut with its bound.
func (f *Flatness) returned(seconds float64) {
	f.look(seconds <= mostAgain, "acknowledged entries that came again: %s of load, may be %s", text(seconds, "s"), text(mostAgain, "s"))
	f.Flat = len(f.Reasons) == 0
}

// Err says why it is not flat; nil if it is, or was not judged.
func (f *Flatness) Err() error {
	if f == nil || f.Flat {
		return nil
	}
	return fmt.Errorf("not flat: %s", strings.Join(f.Reasons, "; "))
}

// Verdict is the verdict in words.
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
