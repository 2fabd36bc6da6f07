package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"roost/gateway"
)

// SteadyOptions are the parameters of [Steady].
type SteadyOptions struct {
	Rate      float64 // sends a second, of all senders together
	Senders   int
	Receivers int           // each with one connected device that acknowledges everything
	Size      int           // bytes of content
	Warmup    time.Duration // see [SteadyOptions.Fill]
	Duration  time.Duration
	Sample    time.Duration // between readings
	// Kill ends the server with SIGKILL at the end, and starts it again before the
	// receivers reconnect.
	Kill bool
}

// Steady sends at a fixed rate, reads the figures that may grow, and says whether the load
// can go on for ever. At the end it cuts all receivers off, connects them again without a
// cursor, and counts the acknowledged entries that are redelivered.
func Steady(ctx context.Context, env *Env, o SteadyOptions) (Result, error) {
	r := Result{Name: "steady", Title: o.title()}
	r.add(FigureRate, o.Rate, "/s")
	if o.Kill && env.server.Kill == nil {
		return r, errors.New("only a server of this bench can be killed; leave --url out")
	}
	users, err := env.need(ctx, o.Senders+o.Receivers)
	if err != nil {
		return r, err
	}
	t := newTraffic(env.users)
	t.recentAck, t.recentEndToEnd = newLatency(), newLatency()
	s := &steady{options: o, crowd: newCrowd(ctx, env, t), senders: users[:o.Senders], receivers: users[o.Senders:]}
	s.crowd.retries = connectRetries
	err = s.crowd.connectShown(users, connecting)
	if err == nil {
		err = s.load(&r)
	}
	if err == nil {
		err = s.reconnect(&r)
	}
	err = s.crowd.finish(err, users, &r)
	r.Check.add(s.done)
	if err == nil {
		s.conclude(&r)
	}
	return r, err
}

func (o SteadyOptions) title() string {
	title := fmt.Sprintf("steady, %.0f/s for %v, %d senders, %d receivers, %d bytes", o.Rate, o.Duration, o.Senders, o.Receivers, o.Size)
	if o.Kill {
		title += ", killed at the end"
	}
	return title
}

// leastFill is the shortest warm-up: a load has to be flat from its second minute on.
const leastFill = time.Minute

// Fill returns the warm-up after which memory that the server bounds is full. Streams
// keep ids for window, and a gateway keeps the last gateway.MaxRecent messages of each
// receiver.
func (o SteadyOptions) Fill(window time.Duration) time.Duration {
	recent := gateway.MaxRecent * float64(o.Receivers) / o.Rate
	return max(leastFill, window, time.Duration(recent*float64(time.Second)))
}

// steady is the state of a steady load.
type steady struct {
	// Static.
	options            SteadyOptions
	crowd              *crowd
	senders, receivers []*user

	offered atomic.Int64
	next    int // owned by the pacer: counts sends

	// Owned by the goroutine of the scenario.
	readings *readings
	done     Check // the outcomes of dropped records
}

// write sends the next message. The receivers take turns, each with the same sender always,
// so that there are as many receipts as receivers.
func (s *steady) write(due int64) {
	to := s.next % len(s.receivers)
	s.next++
	l := s.crowd.link(s.senders[to%len(s.senders)])
	if l == nil {
		return
	}
	s.offered.Add(1)
	l.send(s.receivers[to], s.options.Size, due)
	_ = l.flush() // the reader gets the error
}

// load sends at the rate, and takes readings after the warm-up.
func (s *steady) load(r *Result) error {
	stop := make(chan struct{})
	var pacing sync.WaitGroup
	pacing.Go(func() { pace(s.options.Rate, stop, s.write) })
	defer pacing.Wait()
	defer close(stop)
	c := s.crowd
	if err := c.wait("warming up", s.options.Warmup); err != nil {
		return err
	}
	begin, err := c.startSpan()
	if err != nil {
		return err
	}
	c.traffic.from.Store(sinceEpoch())
	if err := s.sample(r.Title); err != nil {
		return err
	}
	c.traffic.until.Store(sinceEpoch())
	return c.endSpan(begin, r)
}

// keepRecords is how long the records of complete messages are kept. It bounds the memory of
// the generator.
const keepRecords = time.Minute

// sample takes a reading at regular moments until the end of the load.
func (s *steady) sample(title string) error {
	s.readings = newReadings(s)
	begin := time.Now()
	next := time.NewTimer(0)
	defer next.Stop()
	for n := time.Duration(0); n*s.options.Sample <= s.options.Duration; n++ {
		next.Reset(time.Until(begin.Add(n * s.options.Sample)))
		select {
		case <-s.crowd.ctx.Done():
			return context.Cause(s.crowd.ctx)
		case <-next.C:
		}
		s.crowd.env.progress(title, int(n*s.options.Sample/time.Millisecond), int(s.options.Duration/time.Millisecond))
		if err := s.readings.read(s.crowd.ctx, time.Since(begin)); err != nil {
			return err
		}
		for _, p := range s.senders {
			p.trim(sinceEpoch()-int64(keepRecords), &s.done)
		}
	}
	return s.crowd.err()
}

// answerTimeout bounds the wait for the answers to the last sends before the cut.
const answerTimeout = 5 * time.Second

// reconnect resets the connections of all receivers at once, and connects them again without
// a cursor.
func (s *steady) reconnect(r *Result) error {
	if err := s.answered(); err != nil {
		return err
	}
	c := s.crowd
	back := s.receivers
	if s.options.Kill {
		back = append(append([]*user(nil), s.senders...), s.receivers...)
		c.env.progress("killing and restarting the server", 0, 0)
	}
	links := make([]*link, 0, len(back))
	for _, p := range back {
		if l := c.link(p); l != nil {
			l.leaving.Store(true)
			links = append(links, l)
		}
	}
	if s.options.Kill {
		if err := c.env.server.Kill(c.ctx); err != nil {
			return fmt.Errorf("failed to restart the killed server: %w", err)
		}
	}
	for _, l := range links {
		l.cut()
	}
	for _, l := range links {
		<-l.ended
	}
	for _, p := range s.senders {
		p.cut()
	}
	for _, p := range back {
		p.dropCursor()
	}
	c.traffic.cut.Store(true)
	begin := time.Now()
	if err := c.connectShown(back, connecting); err != nil {
		return err
	}
	r.add(FigureConnects, float64(len(back))/time.Since(begin).Seconds(), "/s")
	c.noteRetries(r)
	return nil
}

// answered waits until every send has its answer, at most answerTimeout. After a kill, an
// answer would not come.
func (s *steady) answered() error {
	ctx, cancel := context.WithTimeout(s.crowd.ctx, answerTimeout)
	defer cancel()
	for {
		var open int64
		for _, p := range s.senders {
			unanswered, _ := p.pending()
			open += unanswered
		}
		if open == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return s.crowd.err()
		case <-time.After(pollInterval):
		}
	}
}

// conclude adds the series, the redelivered entries, and the verdict.
func (s *steady) conclude(r *Result) {
	redelivered := float64(s.crowd.traffic.redelivered.Load())
	r.add(FigureRedelivered, redelivered, "")
	r.add(FigureRedeliveredSeconds, redelivered/s.options.Rate, "s")
	r.Series = s.readings.list()
	r.Notes = append(r.Notes, s.readings.notes()...)
	f := judge(s.options, r.Series)
	f.redelivers(redelivered / s.options.Rate)
	r.Flatness = &f
	r.add(FigureReasons, float64(len(f.Reasons)), "")
}
