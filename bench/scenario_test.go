package bench

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"roost/gateway"
	"roost/gateway/auth"
	"roost/streams"
	"roost/streams/streamstest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultClient.CloseIdleConnections()
		os.Exit(code)
	}))
}

// within bounds a test.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*streamstest.Timeout)
	t.Cleanup(cancel)
	return ctx
}

// newEnv is a gateway on a real NATS server, all in this process.
func newEnv(t *testing.T) *Env {
	t.Helper()
	conn := streamstest.Connect(t, streamstest.Server(t, t.TempDir()), streams.Topology{})
	tokens, err := auth.NewTokens(bytes.Repeat([]byte("s"), 32))
	if err != nil {
		t.Fatal(err)
	}
	server := gateway.New(gateway.Options{Streams: conn, Auth: tokens, Log: streamstest.Log(t)})
	if err := server.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server.Handler())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
		defer cancel()
		server.Drain(ctx)
		web.Close()
	})
	return NewEnv(&Server{URLs: []string{web.URL}, PIDs: []int{os.Getpid()}, Tokens: tokens}, nil)
}

const moment = 200 * time.Millisecond

// TestScenarios runs each scenario small: all messages are there, and the figures
// that rows are made of.
func TestScenarios(t *testing.T) {
	env := newEnv(t)
	closed := ClosedOptions{Pairs: 2, Window: 4, Size: 100, Warmup: moment, Duration: moment}
	for _, c := range []struct {
		name    string
		run     func(context.Context) (Result, error)
		figures []string
		latency bool
	}{
		{"closed", func(ctx context.Context) (Result, error) { return Closed(ctx, env, closed) },
			[]string{FigureSends, FigureDelivered, FigureReceipts, FigureCPU}, true},
		{"open", func(ctx context.Context) (Result, error) {
			return Open(ctx, env, OpenOptions{Rate: 200, Pairs: 2, Size: MinContent, Warmup: moment, Duration: moment})
		}, []string{FigureRate, FigureDelivered, FigureCPU}, true},
		{"idle", func(ctx context.Context) (Result, error) {
			return Idle(ctx, env, IdleOptions{Devices: 20, Parallel: 5, Settle: time.Millisecond})
		}, []string{FigureMemory, FigureAnonymous, FigureConnectCPU, FigureConnects}, false},
		{"storm", func(ctx context.Context) (Result, error) {
			return Storm(ctx, env, StormOptions{Devices: 20, Parallel: 8})
		}, []string{FigureConnects}, false},
		{"drain", func(ctx context.Context) (Result, error) {
			return Drain(ctx, env, DrainOptions{Devices: 2, Backlog: 300, Size: 100})
		}, []string{FigureBacklog}, false},
		{"drain many", func(ctx context.Context) (Result, error) {
			return DrainMany(ctx, env, DrainOptions{Devices: 5, Backlog: 3, Size: 100})
		}, []string{FigureConnects, FigureDelivered}, false},
		{"history", func(ctx context.Context) (Result, error) { return History(ctx, env, closed) },
			[]string{FigureKept, FigureSends}, true},
		{"mixed", func(ctx context.Context) (Result, error) {
			return Mixed(ctx, env, MixedOptions{Users: 12, Rate: 200, Size: 100, Warmup: moment, Duration: moment})
		}, []string{FigureRate, FigureSends}, true},
		{"fanout", func(ctx context.Context) (Result, error) {
			return Fanout(ctx, env, FanoutOptions{Groups: 2, Members: 6, Window: 3, Size: 100, Warmup: moment, Duration: moment})
		}, []string{FigureSends, FigureDelivered, FigureCPU}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := c.run(within(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Check.Err(); err != nil {
				t.Error(err)
			}
			if r.Check.Sent != r.Check.Arrived || r.Check.Refused+r.Check.Unanswered > 0 {
				t.Errorf("not every message arrived: %s", r.Check.text())
			}
			for _, name := range c.figures {
				if _, ok := r.Figure(name); !ok {
					t.Errorf("the result has no %q", name)
				}
			}
			if l := r.Latency[LatencyEndToEnd]; c.latency && (l.Count == 0 || l.P50 <= 0 || l.P99 < l.P50 || l.Max < l.P999) {
				t.Errorf("the latencies make no sense: %+v", l)
			}
		})
	}
	if r, err := Closed(within(t), env, closed); err != nil || r.Check.Sent == 0 {
		t.Errorf("the devices cannot be used again: %v, %s", err, r.Check.text())
	}
}

// TestWrongMessages: what happens to a message between the server and the device
// is found, and makes the run fail.
func TestWrongMessages(t *testing.T) {
	env := newEnv(t)
	direct := env.server.URLs
	for _, c := range []struct {
		name  string
		spoil func(frame []byte) [][]byte
		wrong func(Check) int64
	}{
		{"lost", func([]byte) [][]byte { return nil }, func(c Check) int64 { return c.Missing }},
		{"altered", func(f []byte) [][]byte {
			at := bytes.Index(f, fieldContent) + len(fieldContent) + MinContent
			f[at] ^= 1
			return [][]byte{f}
		}, func(c Check) int64 { return c.Corrupt }},
		{"twice", func(f []byte) [][]byte { return [][]byte{f, f} }, func(c Check) int64 { return c.Duplicates }},
	} {
		t.Run(c.name, func(t *testing.T) {
			env.server.URLs = direct
			if _, err := env.need(within(t), 4); err != nil {
				t.Fatal(err)
			}
			env.server.URLs = []string{spoil(t, direct[0], 3, c.spoil)}
			env.patience = moment
			r, err := Closed(within(t), env, ClosedOptions{Pairs: 2, Window: 2, Size: 100, Duration: moment})
			if err != nil {
				t.Fatal(err)
			}
			if got := c.wrong(r.Check); got != 1 {
				t.Errorf("1 message was spoiled, %d were found: %s", got, r.Check.text())
			}
			if named := strings.Contains(strings.Join(r.Notes, "\n"), "which is connected"); named != (r.Check.Missing > 0) {
				t.Errorf("%d are missing, and the notes are %q", r.Check.Missing, r.Notes)
			}
			report := Report{Results: []Result{r}}
			if report.Err() == nil {
				t.Error("the report is content")
			}

			env.server.URLs = []string{direct[0], spoil(t, direct[0], 3, c.spoil)} // odd places in the group
			r, err = Fanout(within(t), env, FanoutOptions{Groups: 1, Members: 4, Window: 2, Size: 100, Duration: moment})
			if err != nil {
				t.Fatal(err)
			}
			if got := c.wrong(r.Check); got < 1 || r.Check.Err() == nil {
				t.Errorf("copies for a group were spoiled, and not found: %s", r.Check.text())
			}
		})
	}
}

// TestInterrupted: a scenario ends with its context, with an error.
func TestInterrupted(t *testing.T) {
	env := newEnv(t)
	ctx, cancel := context.WithCancel(within(t))
	env.shown = func(what string, _, _ int) {
		if what == "warming up" {
			cancel()
		}
	}
	_, err := Closed(ctx, env, ClosedOptions{Pairs: 2, Window: 2, Size: 100, Warmup: time.Hour, Duration: time.Hour})
	if err == nil {
		t.Error("there is a result")
	}
}

// TestServerGone: a server that ends makes the scenario fail.
func TestServerGone(t *testing.T) {
	env := newEnv(t)
	proxy := spoil(t, env.server.URLs[0], 50, nil)
	env.server.URLs = []string{proxy}
	_, err := Closed(within(t), env, ClosedOptions{Pairs: 1, Window: 2, Size: 100, Duration: time.Hour})
	if err == nil {
		t.Error("there is a result")
	}
}
