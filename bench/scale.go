package bench

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// ScaleOptions are the parameters of [Launcher.Scale].
type ScaleOptions struct {
	Few, Many int // connected devices
	Load      OpenOptions
}

// devicesPerProcess stays below a limit of 20,000 open files.
const devicesPerProcess = 18_000

// Rest before the CPU of silent connections is measured, and for how long.
const (
	scaleSettle = 5 * time.Second
	idleSpan    = 5 * time.Second
)

// gateways returns how many gateways the devices need beside `roost serve`.
func (o ScaleOptions) gateways() int { return (o.Many - 1) / devicesPerProcess }

// Scale runs the same open loop twice against one deployment: with few devices
// connected, and with many of which the same few are active. The deployment has
// as many gateways as the files of a process require, from the start on. CPU is that
// of all its processes.
func (x Launcher) Scale(ctx context.Context, o ScaleOptions, progress Progress) (Result, error) {
	o.Load.Pairs = o.Few / 2
	r := Result{Name: "scale", Title: fmt.Sprintf("CPU per message with %d and %d devices, %.0f/s, %d server processes", o.Few, o.Many, o.Load.Rate, 1+o.gateways())}
	l, err := x.Start(ctx, o.gateways())
	if err != nil {
		return r, err
	}
	defer l.Stop()
	env := NewEnv(&l.Server, progress)
	few, err := Open(ctx, env, o.Load)
	r.Check.add(few.Check)
	if err != nil {
		return r, err
	}
	holders, err := x.holders(ctx, l, o.Many-o.Few, env.shown)
	defer func() {
		for _, h := range holders {
			h.stop()
		}
	}()
	if err != nil {
		return r, err
	}
	idle, err := idleCPU(ctx, env)
	if err != nil {
		return r, err
	}
	many, err := Open(ctx, env, o.Load)
	r.Check.add(many.Check)
	if err != nil {
		return r, err
	}
	r.compare(few, many, idle)
	return r, nil
}

// holders starts the processes that hold silent devices.
func (x Launcher) holders(ctx context.Context, l *Launched, devices int, progress Progress) ([]*child, error) {
	var list []*child
	for i, url := range l.URLs {
		n := devices*(i+1)/len(l.URLs) - devices*i/len(l.URLs)
		progress("connecting silent devices", devices*i/len(l.URLs), devices)
		c, err := startChild(ctx, []string{"bench", "hold", "--url", url, "--token-key", l.KeyFile(),
			"--prefix", "hold-" + strconv.Itoa(i), "--devices", strconv.Itoa(n)}, holdLine, holdTimeout)
		if err != nil {
			return list, err
		}
		list = append(list, c)
	}
	return list, nil
}

var holdLine = regexp.MustCompile(`holds ([0-9]+) devices`)

// holdTimeout bounds the time in which a holder registers and connects its
// devices.
const holdTimeout = 4 * time.Minute

// idleCPU returns the CPU of the server, in cores, without any sends.
func idleCPU(ctx context.Context, env *Env) (float64, error) {
	c := newCrowd(ctx, env, newTraffic(nil))
	defer c.close()
	if err := c.wait("the server at rest", scaleSettle); err != nil {
		return 0, err
	}
	begin, err := measure(env.server.PIDs)
	if err != nil {
		return 0, err
	}
	if err := c.wait("silent devices", idleSpan); err != nil {
		return 0, err
	}
	end, err := measure(env.server.PIDs)
	return (end.cpu - begin.cpu).Seconds() / end.moment.Sub(begin.moment).Seconds(), err
}

// compare adds the figures of both loads. The ratio includes the heartbeats of the silent
// devices.
func (r *Result) compare(few, many Result, idle float64) {
	r.Latency, r.Notes, r.Seconds = many.Latency, append(few.Notes, many.Notes...), few.Seconds+many.Seconds
	a, _ := few.Figure(FigureCPU)
	b, _ := many.Figure(FigureCPU)
	rate, _ := many.Figure(FigureDelivered)
	r.add(FigureDelivered, rate, "/s")
	r.add("server CPU per message with few", a, "ms")
	r.add("server CPU per message with many", b, "ms")
	r.add("server CPU of silent devices", idle, "cores")
	if a > 0 {
		r.add(FigureRatio, b/a, "")
		if rate > 0 {
			r.add("ratio without the CPU of silent devices", (b-idle*1000/rate)/a, "")
		}
	}
}
