package inbox

import (
	"context"
	"time"

	"roost/streams/jsapi"
	"roost/streams/subject"
)

const (
	sweepEvery = time.Second
	// compareEvery is how often each inbox is compared with the stream, jittered.
	compareEvery = 60 * time.Second
	// CompareFirst is the delay of the first comparison: the replica that answered the
	// first read may have lagged.
	CompareFirst = 2 * time.Second
)

// sweeper runs until Close.
func (cs *Consumers) sweeper() {
	defer close(cs.stopped)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			cs.Sweep(cs.ctx)
		case <-cs.ctx.Done():
			return
		}
	}
}

// Sweep does at once what the sweeper does each second.
func (cs *Consumers) Sweep(ctx context.Context) { cs.compare(ctx, cs.sweepDue()) }

// sweepDue does the due work of each consumer, and returns those to compare with the stream,
// by partition.
func (cs *Consumers) sweepDue() map[int][]*deviceConsumer {
	now, due := cs.opts.Now(), make(map[int][]*deviceConsumer)
	var awake []*deviceConsumer
	cs.mu.Lock()
	for _, b := range cs.all { // most are quiet, and cost no lock
		if b.quietUntil.Load() <= now.UnixNano() {
			awake = append(awake, b)
		}
	}
	cs.mu.Unlock()
	for _, b := range awake {
		if b.sweep(now) {
			due[b.partition] = append(due[b.partition], b)
		}
	}
	return due
}

// sweep does the due work, and says whether the consumer is to be compared.
func (b *deviceConsumer) sweep(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isEnded() {
		return false
	}
	if sent, ok := b.window.oldestUnacked(); ok && now.Sub(sent) > b.owner.opts.AckTimeout {
		b.endWith(EndSlow)
		return false
	}
	next := b.source.tick(now)
	if !b.removeAt.IsZero() && !now.Before(b.removeAt) {
		b.requestRemoval()
	}
	if now.Before(b.compareAt) {
		if len(b.window.entries) == 0 && b.removeAt.IsZero() && now.Before(next) {
			b.quietUntil.Store(min(b.compareAt.UnixNano(), next.UnixNano()))
		}
		return false
	}
	b.compareAt = now.Add(untilCompare())
	return true
}

// compare reads the newest entry of each inbox in the stream.
func (cs *Consumers) compare(ctx context.Context, due map[int][]*deviceConsumer) {
	for p, all := range due {
		for len(all) > 0 {
			n := min(len(all), jsapi.MaxSubjects)
			if err := cs.compareSome(ctx, p, all[:n]); err != nil {
				if ctx.Err() == nil {
					cs.opts.Log.Warn("inboxes could not be compared with the stream; the next round compares them", "partition", p, "error", err)
				}
				return
			}
			all = all[n:]
		}
	}
}

func (cs *Consumers) compareSome(ctx context.Context, p int, all []*deviceConsumer) error {
	subjects := make([]string, len(all))
	bySubject := make(map[string][]*deviceConsumer, len(all))
	for i, b := range all {
		subjects[i] = b.subject
		bySubject[b.subject] = append(bySubject[b.subject], b)
	}
	newest, err := cs.opts.API.Lasts(ctx, subject.InboxStream(p), subjects)
	if err != nil {
		return err
	}
	for _, m := range newest {
		for _, b := range bySubject[m.Subject] {
			b.compareNewest(m.Sequence)
		}
	}
	return nil
}

// compareNewest tells the source the newest entry of its inbox in the stream.
func (b *deviceConsumer) compareNewest(newest uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.source.compare(newest)
}
