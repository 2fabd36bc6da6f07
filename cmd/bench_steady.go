package cmd

import (
	"context"
	"errors"
	"time"

	"roost/bench"
	"roost/streams"
)

type benchSteady struct {
	benchFlags
	Rate      float64       `help:"Sends a second, together." default:"1500"`
	Receivers int           `help:"Receivers, each with one device that acknowledges everything." default:"300"`
	Senders   int           `help:"Connections that send." default:"50"`
	Sample    time.Duration `help:"Time between two readings." default:"5s"`
	Kill      bool          `help:"Kill the server at the end and start it again, before the receivers reconnect."`
	Cluster   bool          `help:"Start three NATS nodes with three replicas and two gateways, instead of one server."`
}

// options returns the options of the scenario.
func (c benchSteady) options() (bench.SteadyOptions, error) {
	o := bench.SteadyOptions{Rate: c.Rate, Senders: c.Senders, Receivers: c.Receivers, Size: c.Size,
		Warmup: c.Warmup, Duration: c.Duration, Sample: c.Sample, Kill: c.Kill}
	if o.Warmup == 0 {
		o.Warmup = o.Fill(c.window())
	}
	err := errors.Join(positive("rate", c.Rate), positive("receivers", float64(c.Receivers)),
		positive("senders", float64(c.Senders)), positive("sample", float64(c.Sample)))
	switch {
	case err != nil:
	case c.Duration < bench.LeastSamples*c.Sample:
		err = errors.New("--duration is at least eight times --sample, to show a trend")
	case len(c.URL) > 0 && (c.Kill || c.Cluster):
		err = errors.New("--kill and --cluster need a new server: leave --url out")
	}
	return o, err
}

// window returns how long the streams of the server keep message ids. A server of --url may
// be a cluster.
func (c benchSteady) window() time.Duration {
	if c.Cluster || len(c.URL) > 0 {
		return streams.DefaultDuplicateWindow
	}
	return streams.SingleProcessWindow
}

// Run implements `roost bench steady`. It fails if the load is not flat.
func (c benchSteady) Run(ctx context.Context, p Process) error {
	o, err := c.options()
	if err != nil {
		return cannotStart(err)
	}
	c.cluster = c.Cluster
	var result bench.Result
	err = c.against(ctx, p, func(ctx context.Context, env *bench.Env) (bench.Result, error) {
		var err error
		result, err = bench.Steady(ctx, env, o)
		return result, err
	})
	return errors.Join(err, result.Flatness.Err())
}
