package bench

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLatency(t *testing.T) {
	l := newLatency()
	for ms := range 1000 {
		l.record(int64(ms+1) * int64(time.Millisecond))
	}
	s := l.summary()
	for _, c := range []struct{ got, want float64 }{{s.P50, 500}, {s.P90, 900}, {s.P99, 990}, {s.P999, 999}, {s.Max, 1000}, {s.Mean, 500.5}} {
		if math.Abs(c.got-c.want) > c.want/500 {
			t.Errorf("%v, not %v: %+v", c.got, c.want, s)
		}
	}
	l.record(int64(time.Hour))
	if got := l.summary(); got.Count != 1001 || got.Max < 290_000 {
		t.Errorf("more than the most is lost: %+v", got)
	}
}

func TestVerdict(t *testing.T) {
	v := func(f float64) *float64 { return &f }
	for _, c := range []struct {
		row  Row
		want string
	}{
		{Row{Least: 10, Aim: 20}, VerdictNone},
		{Row{Least: 10, Aim: 20, Value: v(9)}, VerdictMisses},
		{Row{Least: 10, Aim: 20, Value: v(10)}, VerdictHolds},
		{Row{Least: 10, Aim: 20, Value: v(20)}, VerdictAim},
		{Row{Least: 20, Aim: 10, Lower: true, Value: v(21)}, VerdictMisses},
		{Row{Least: 20, Aim: 10, Lower: true, Value: v(20)}, VerdictHolds},
		{Row{Least: 20, Aim: 10, Lower: true, Value: v(10)}, VerdictAim},
	} {
		if got := c.row.Verdict(); got != c.want {
			t.Errorf("%+v: %s, not %s", c.row, got, c.want)
		}
	}
}

// sample has a result of each kind that rows are made of.
func sample() (map[string]Result, *Report) {
	result := func(name string, figures ...Figure) Result {
		return Result{Name: name, Title: name + " <title>", Figures: figures}
	}
	closed := result("closed", Figure{FigureSends, 15_000, "/s"}, Figure{FigureDelivered, 14_999, "/s"}, Figure{FigureCPU, 0.08, "ms"})
	closed.Check = Check{Sent: 10, Accepted: 10, Arrived: 10}
	l := newLatency()
	for us := range int64(5000) {
		l.record(us * 1000)
	}
	open := result("open", Figure{FigureDelivered, 2000, "/s"})
	open.Latency = map[string]Latency{LatencyEndToEnd: l.summary()}
	results := map[string]Result{
		keyClosed: closed, keyManyPairs: closed, keyOneAtATime: closed, keyOpen: open,
		keyRawFast: result("raw", Figure{FigurePublishes, 45_000, "/s"}),
		keyScale:   result("scale", Figure{FigureRatio, 1.2, ""}),
		keyIdle:    result("idle", Figure{FigureMemory, 12, "KiB"}, Figure{FigureConnectCPU, 0.3, "ms"}),
		keyStorm:   result("storm", Figure{FigureConnects, 3000, "/s"}),
		keyDrain:   result("drain", Figure{FigureBacklog, 50, "ms"}),
		keyHistory: result("history", Figure{FigureKept, 60, "%"}),
		keySteady:  result("steady", Figure{FigureReasons, 0, ""}, Figure{FigureRedeliveredSeconds, 0.4, "s"}),
	}
	r := &Report{Started: time.Unix(0, 0).UTC(), Version: "v", Command: "bench", Rows: Rows(results)}
	for _, key := range []string{keyClosed, keyOpen, keyIdle} {
		r.Results = append(r.Results, results[key])
	}
	return results, r
}

// TestRows: each row finds its figure, and a run without one says so.
func TestRows(t *testing.T) {
	results, _ := sample()
	for _, row := range Rows(results) {
		if row.Value == nil {
			t.Errorf("%s: %s", row.Figure, row.Verdict())
		}
	}
	if got := *Rows(results)[5].Value; math.Abs(got-1.0/3) > 1e-9 {
		t.Errorf("15,000 of 45,000 are %v", got)
	}
	for _, row := range Rows(nil) {
		if row.Verdict() != VerdictNone {
			t.Errorf("%s without a run: %s", row.Figure, row.Verdict())
		}
	}
}

// TestWrite: the report says the same in each form, and its page needs nothing
// else.
func TestWrite(t *testing.T) {
	_, r := sample()
	var text, page, data bytes.Buffer
	for _, err := range []error{r.WriteTable(&text), r.WriteHTML(&page), r.WriteJSON(&data)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"15,000/s", "10 accepted, 10 arrived, 0 missing", VerdictHolds, VerdictAim, "≥ 13000/s", "p50 2.50"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, text.String())
		}
	}
	for _, want := range []string{"closed &lt;title&gt;", "<svg", VerdictHolds} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if n := strings.Count(page.String(), "<svg"); n != 3 {
		t.Errorf("%d plots, not 3", n)
	}
	for _, not := range []string{"src=", "href=", "<?xml", "ZgotmplZ"} {
		if strings.Contains(page.String(), not) {
			t.Errorf("the page has %s", not)
		}
	}
	again, err := ReadReport(&data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r, again) {
		t.Errorf("read again, it is\n%+v\nnot\n%+v", again, r)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0712: "0.0712", 0.834: "0.834", 12.34: "12.3", 999.96: "1000.0", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := number(v); got != want {
			t.Errorf("%v is %s, not %s", v, got, want)
		}
	}
}

// TestCapacity does the example of docs/capacity.md by hand.
func TestCapacity(t *testing.T) {
	in := CapacityInputs{CPUPerMessage: 0.10, CPUPerConnect: 0.4, Memory: 16, Cores: 16, RAM: 64, Headroom: 0.5, Replicas: 3,
		Users: 100e6, Messages: 50, PeakSends: 230_000, Connections: 10e6, Sessions: 10, Receivers: 1}
	c, err := in.Compute()
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(c.MessageCores-69) > 0.01 || math.Abs(c.ConnectCores-4.63) > 0.01 || math.Abs(c.MemoryTotal-152.59) > 0.01 {
		t.Errorf("%+v", c)
	}
	if c.MachinesCPU != 10 || c.MachinesMemory != 5 || c.Machines != 10 || c.Bound != "processors" {
		t.Errorf("%+v", c)
	}
	in.Memory = 160
	if c, _ = in.Compute(); c.Machines != 48 || c.Bound != "memory" {
		t.Errorf("with ten times the memory: %+v", c)
	}
	for _, spoil := range []func(*CapacityInputs){
		func(in *CapacityInputs) { in.Headroom = 1 },
		func(in *CapacityInputs) { in.CPUPerMessage = 0 },
		func(in *CapacityInputs) { in.Users = math.Inf(1) },
		func(in *CapacityInputs) { in.RAM = math.NaN() },
	} {
		wrong := in
		spoil(&wrong)
		if _, err := wrong.Compute(); err == nil {
			t.Errorf("%+v is computed", wrong)
		}
	}
	_, r := sample()
	in.FromReport(r)
	if in.CPUPerMessage != 0.08 || in.Memory != 12 || in.CPUPerConnect != 0.3 {
		t.Errorf("of the report came %+v", in)
	}
}
