package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"roost/streams/rawpublish"
)

// RawOptions are the parameters of [Raw].
type RawOptions struct {
	Clients  int
	Batch    int  // messages of an atomic batch; 0: one by one, asynchronously
	AsInbox  bool // with message ids and bounded subjects, like the inboxes of Roost; not with Batch
	Sync     bool // sync every message to disk before its acknowledgement
	Size     int  // bytes of a message
	Warmup   time.Duration
	Duration time.Duration
}

func (o RawOptions) title() string {
	how, sync := "one by one, asynchronously", "without fsync"
	if o.Batch > 0 {
		how = fmt.Sprintf("atomic batches of %d", o.Batch)
	}
	if o.AsInbox {
		how += ", with ids and bounded subjects"
	}
	if o.Sync {
		sync = "fsync always"
	}
	return fmt.Sprintf("raw JetStream, %s, %s, %d clients, %d bytes", how, sync, o.Clients, o.Size)
}

var natsLine = regexp.MustCompile(`nats listens url=(nats://\S+)`)

// Raw measures the limit: JetStream itself over TCP, in its own process with the settings of
// the embedded server.
func (x Launcher) Raw(ctx context.Context, o RawOptions, progress Progress) (Result, error) {
	r := Result{Name: "raw", Title: o.title()}
	if err := os.MkdirAll(x.Parent, 0o700); err != nil {
		return r, fmt.Errorf("failed to create the data directory: %w", err)
	}
	dir, err := os.MkdirTemp(x.Parent, "roost-bench-")
	if err != nil {
		return r, fmt.Errorf("failed to create the data directory: %w", err)
	}
	defer os.RemoveAll(dir)
	address, err := freeAddress()
	if err != nil {
		return r, err
	}
	sync := "2m" // the default of nats-server
	if o.Sync {
		sync = "0s"
	}
	server, err := startChild(ctx, []string{"bench", "nats", "--store-dir", filepath.Join(dir, "jetstream"), "--listen", address, "--sync", sync}, natsLine, startTimeout)
	if err != nil {
		return r, err
	}
	defer server.stop()
	load, err := rawpublish.Start(ctx, rawpublish.Options{URL: server.said, Clients: o.Clients, Batch: o.Batch, AsInbox: o.AsInbox, Size: o.Size})
	if err != nil {
		return r, err
	}
	c := newCrowd(ctx, NewEnv(&Server{PIDs: []int{server.cmd.Process.Pid}}, progress), newTraffic(nil))
	err = measureRaw(c, load, o, &r)
	_ = c.close() // it has no links
	if stopped := load.Stop(); stopped != nil {
		err = stopped
	}
	return r, err
}

func measureRaw(c *crowd, load *rawpublish.Load, o RawOptions, r *Result) error {
	if err := c.wait("warming up", o.Warmup); err != nil {
		return err
	}
	begin, err := measure(c.env.server.PIDs)
	if err != nil {
		return err
	}
	count := load.Count()
	if err := c.wait(r.Title, o.Duration); err != nil {
		return err
	}
	end, err := measure(c.env.server.PIDs)
	if err != nil {
		return err
	}
	n := float64(load.Count() - count)
	r.Seconds = end.moment.Sub(begin.moment).Seconds()
	r.add(FigurePublishes, n/r.Seconds, "/s")
	if n > 0 {
		r.add(FigurePublishCPU, float64(end.cpu-begin.cpu)/n/float64(time.Millisecond), "ms")
	}
	return nil
}
