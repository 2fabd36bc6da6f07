package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"
)

// Names of series.
const (
	seriesMemory      = "resident memory"
	seriesHeap        = "Go heap in use"
	seriesGoroutines  = "goroutines"
	seriesDescriptors = "open descriptors"
	seriesNotRemoved  = "entries acknowledged and not removed"
	seriesOffered     = "offered"
	seriesAccepted    = "accepted"
)

// streamSeries are the streams with their own series, all partitions together; the others
// share one.
var streamSeries = []string{"INBOX", "SENT", "KV_RECEIPTS", otherStreams}

const otherStreams = "other streams"

func messagesOf(stream string) string { return "messages in " + stream }
func bytesOf(stream string) string    { return "bytes in " + stream }

// metricNotRemoved counts the entries of a gateway that devices acknowledged and that are
// still in the stream.
const metricNotRemoved = "roost_gateway_entries_not_removed"

// readings collects the series of a load.
type readings struct {
	// Static.
	load   *steady
	server *Server

	order  []string
	byName map[string]*Series
	// Of the last reading.
	began             bool // after the first reading
	at                time.Duration
	offered, accepted int64
	missing           map[string]missed // by the name of the figure
}

// missed counts the failed reads of a figure, with the last error if there was one.
type missed struct {
	times int
	err   error
}

func newReadings(s *steady) *readings {
	return &readings{load: s, server: s.crowd.env.server, byName: make(map[string]*Series), missing: make(map[string]missed),
		offered: s.offered.Load(), accepted: s.crowd.traffic.accepted.Load()}
}

// read takes one reading of all series. It leaves out and notes the metrics that a gateway
// does not have.
func (r *readings) read(ctx context.Context, at time.Duration) error {
	enter := func(panel, name, unit string, value float64) {
		s := r.byName[name]
		if s == nil {
			s = &Series{Panel: panel, Name: name, Unit: unit}
			r.byName[name] = s
			r.order = append(r.order, name)
		}
		s.Readings = append(s.Readings, Reading{at.Seconds(), value})
	}
	r.rates(at, enter)
	if len(r.server.PIDs) > 0 {
		if err := r.processes(enter); err != nil {
			return err
		}
	}
	gateways, err := r.server.scrapeAll(ctx)
	if err != nil {
		r.miss("the metrics of a gateway", err)
	}
	if len(gateways) < len(r.server.URLs) {
		return nil // a sum without one of them would look like a fall
	}
	r.sums(gateways, enter)
	r.streams(gateways, enter)
	return nil
}

type enterReading func(panel, name, unit string, value float64)

// rates adds the offered and the accepted sends since the last reading, with their latencies.
// The first reading only sets the moment.
func (r *readings) rates(at time.Duration, enter enterReading) {
	t := r.load.crowd.traffic
	offered, accepted := r.load.offered.Load(), t.accepted.Load()
	ack, endToEnd := t.recentAck.take(), t.recentEndToEnd.take()
	if took := (at - r.at).Seconds(); r.began && took > 0 {
		enter("Sends", seriesOffered, "/s", float64(offered-r.offered)/took)
		enter("Sends", seriesAccepted, "/s", float64(accepted-r.accepted)/took)
		enter("Latency", "accept p50", "ms", ack.P50)
		enter("Latency", "accept p99", "ms", ack.P99)
		enter("Latency", "end to end p50", "ms", endToEnd.P50)
		enter("Latency", "end to end p99", "ms", endToEnd.P99)
	}
	r.began, r.at, r.offered, r.accepted = true, at, offered, accepted
}

// processes adds the memory and the open files of the server's processes.
func (r *readings) processes(enter enterReading) error {
	used, err := measure(r.server.PIDs)
	if err != nil {
		return err
	}
	files := 0
	for _, pid := range r.server.PIDs {
		proc, err := procfs.NewProc(pid)
		if err != nil {
			return fmt.Errorf("failed to measure process %d: %w", pid, err)
		}
		n, err := proc.FileDescriptorsLen()
		if err != nil {
			return fmt.Errorf("failed to count the open files of process %d: %w", pid, err)
		}
		files += n
	}
	enter("Memory", seriesMemory, "MiB", float64(used.rss)/(1<<20))
	enter("Counts", seriesDescriptors, "", float64(files))
	return nil
}

// sums adds the metrics of all gateways, summed up.
func (r *readings) sums(gateways []metrics, enter enterReading) {
	for _, one := range []struct {
		metric, panel, name, unit string
		scale                     float64
	}{
		{"go_memstats_heap_inuse_bytes", "Memory", seriesHeap, "MiB", 1 << 20},
		{"go_goroutines", "Counts", seriesGoroutines, "", 1},
		{metricNotRemoved, "Entries", seriesNotRemoved, "", 1},
	} {
		sum, told := 0.0, 0
		for _, m := range gateways {
			if v, ok := m[one.metric]; ok {
				sum += v
				told++
			}
		}
		if told < len(gateways) {
			r.miss("the metric "+one.metric, nil)
			continue
		}
		enter(one.panel, one.name, one.unit, sum/one.scale)
	}
}

// streams adds the sizes of the streams, from the first gateway: all have the same streams.
func (r *readings) streams(gateways []metrics, enter enterReading) {
	messages, bytes := make(map[string]float64), make(map[string]float64)
	found := false
	for key, v := range gateways[0] {
		if name, ok := cutLabel(key, "roost_stream_messages"); ok {
			messages[streamOf(name)] += v
			found = true
		}
		if name, ok := cutLabel(key, "roost_stream_bytes"); ok {
			bytes[streamOf(name)] += v
		}
	}
	if !found {
		r.miss("the metric roost_stream_messages", nil)
		return
	}
	for _, name := range streamSeries {
		enter("Messages in streams", messagesOf(name), "", messages[name])
	}
	for _, name := range streamSeries {
		enter("Bytes in streams", bytesOf(name), "MiB", bytes[name]/(1<<20))
	}
}

// cutLabel returns the stream of a metric with that name.
func cutLabel(key, metric string) (stream string, ok bool) {
	rest, ok := strings.CutPrefix(key, metric+"{")
	return strings.TrimSuffix(rest, "}"), ok
}

// streamOf returns the series of a stream.
func streamOf(name string) string {
	for _, series := range streamSeries {
		if name == series || strings.HasPrefix(name, series+"_") {
			return series
		}
	}
	return otherStreams
}

// list returns the series in the order in which they were first read.
func (r *readings) list() []Series {
	list := make([]Series, len(r.order))
	for i, name := range r.order {
		list[i] = *r.byName[name]
	}
	return list
}

func (r *readings) miss(what string, err error) {
	m := r.missing[what]
	r.missing[what] = missed{m.times + 1, err}
}

// notes lists the failed reads.
func (r *readings) notes() []string {
	var list []string
	for what, m := range r.missing {
		note := fmt.Sprintf("%s could not be read %d times", what, m.times)
		if m.err != nil {
			note += fmt.Sprintf("; the last error: %v", m.err)
		}
		list = append(list, note)
	}
	slices.Sort(list)
	return list
}
