package bench

import (
	"fmt"
	"time"
)

// Result has the measurements of one scenario.
type Result struct {
	Name    string             `json:"name"`
	Title   string             `json:"title"` // with the parameters
	Seconds float64            `json:"seconds"`
	Figures []Figure           `json:"figures"`
	Latency map[string]Latency `json:"latency,omitempty"`
	Check   Check              `json:"check"`
	Notes   []string           `json:"notes,omitempty"`
	// Series and Flatness belong to a steady load.
	Series   []Series  `json:"series,omitempty"`
	Flatness *Flatness `json:"flatness,omitempty"`
}

// Figure is one number of a result.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Names of figures that the rows of the report and the capacity need.
const (
	FigureSends      = "accepted sends"
	FigureDelivered  = "delivered"
	FigureReceipts   = "receipts"
	FigureCPU        = "server CPU per delivered message"
	FigureCPUShare   = "server CPU"
	FigureMemory     = "resident memory per connection"
	FigureAnonymous  = "anonymous memory per connection"
	FigureConnectCPU = "server CPU per connect"
	FigureConnects   = "devices connected and drained"
	FigureBacklog    = "connect to drained, median"
	FigureRatio      = "ratio"
	FigureKept       = "throughput kept"
	FigurePublishes  = "acknowledged publishes"
	FigurePublishCPU = "server CPU per publish"
	FigureRate       = "requested rate"

	FigureRedelivered        = "redelivered acknowledged entries"
	FigureRedeliveredSeconds = "the same in seconds of load"
	FigureReasons            = "reasons why it is not flat"
)

// Names of latencies.
const (
	LatencyAck      = "acknowledgement"
	LatencyEndToEnd = "end to end"
)

func (r *Result) add(name string, value float64, unit string) {
	r.Figures = append(r.Figures, Figure{name, value, unit})
}

// Figure returns a figure by its name; false if the scenario has no such figure.
func (r *Result) Figure(name string) (float64, bool) {
	for _, f := range r.Figures {
		if f.Name == name {
			return f.Value, true
		}
	}
	return 0, false
}

// span is the begin of a measurement of counts and CPU.
type span struct {
	begin                         usage
	accepted, delivered, receipts int64
}

func (c *crowd) startSpan() (span, error) {
	begin, err := measure(c.env.server.PIDs)
	t := c.traffic
	return span{begin, t.accepted.Load(), t.delivered.Load(), t.receipts.Load()}, err
}

// endSpan adds the figures of a span to the result.
func (c *crowd) endSpan(s span, r *Result) error {
	end, err := measure(c.env.server.PIDs)
	if err != nil {
		return err
	}
	t := c.traffic
	took := end.moment.Sub(s.begin.moment).Seconds()
	delivered := t.delivered.Load() - s.delivered
	r.Seconds = took
	r.add(FigureSends, float64(t.accepted.Load()-s.accepted)/took, "/s")
	r.add(FigureDelivered, float64(delivered)/took, "/s")
	r.add(FigureReceipts, float64(t.receipts.Load()-s.receipts)/took, "/s")
	if len(c.env.server.PIDs) > 0 {
		cpu := end.cpu - s.begin.cpu
		r.add(FigureCPUShare, cpu.Seconds()/took, "cores")
		if delivered > 0 {
			r.add(FigureCPU, float64(cpu)/float64(delivered)/float64(time.Millisecond), "ms")
		}
	}
	return nil
}

// conclude waits for the last messages, ends the crowd, and adds latencies and the check.
func (c *crowd) conclude(users []*user, r *Result) error {
	c.env.progress("waiting for the last messages", 0, 0)
	begin := time.Now()
	err := c.quiet(users, c.env.patience)
	if took := time.Since(begin); took > noteworthy {
		r.Notes = append(r.Notes, fmt.Sprintf("the last message arrived %.0f s after the end of the load", took.Seconds()))
	}
	r.Notes = append(r.Notes, c.missing(users)...)
	if closed := c.close(); err == nil {
		err = closed
	}
	t := c.traffic
	r.Latency = map[string]Latency{}
	for name, l := range map[string]*latency{LatencyAck: t.ack, LatencyEndToEnd: t.endToEnd} {
		if s := l.summary(); s.Count > 0 {
			r.Latency[name] = s
		}
	}
	r.Check.add(t.check())
	r.Notes = append(r.Notes, t.notes()...)
	return err
}

const (
	// stragglers bounds the wait for messages in flight when a scenario ends. Once a minute
	// the server looks for entries whose live copy was lost.
	stragglers = 90 * time.Second
	// noteworthy is the shortest wait for a message that the report mentions.
	noteworthy = 5 * time.Second
)
