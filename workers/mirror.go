package workers

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"roost/schemas"
	"roost/streams"
)

// source is where the mirror's messages come from; *streams.Jobs is one.
type source interface {
	Fetch(ctx context.Context, n int, wait time.Duration) ([]streams.Job, error)
	RemoveDone(ctx context.Context) error
}

// mirror copies messages that somebody keeps from MESSAGES into history.
type mirror struct {
	source    source
	store     Store
	directory *streams.Directory
	metrics   *metrics
	log       *slog.Logger
	settled   atomic.Bool // since removeDone looked last
}

const (
	batchSize = 500
	fetchWait = 5 * time.Second
	// storeTimeout bounds one write. It is shorter than the consumer's ack wait,
	// so a slow store does not get the same batch twice at a time.
	storeTimeout = 30 * time.Second
	minPause     = 250 * time.Millisecond
	maxPause     = 15 * time.Second
	// removeEvery is how often what every consumer has leaves MESSAGES.
	removeEvery = 2 * time.Second
)

// outcome is what became of one job; settle alone turns it into an answer.
type outcome int

const (
	done      outcome = iota // stored, or nobody keeps it
	postponed                // the store did not take it: again later
	poison                   // can never be stored
)

// run mirrors until fetch ends; work ends later, so that a batch is finished.
func (m *mirror) run(fetch, work context.Context) {
	pause := minPause
	for fetch.Err() == nil {
		jobs, err := m.source.Fetch(fetch, batchSize, fetchWait)
		if err != nil && fetch.Err() == nil {
			m.log.Warn("messages for history could not be fetched; it is tried again", "error", err)
		}
		healthy := err == nil
		if len(jobs) > 0 {
			outcomes, storeErr := m.handle(work, jobs)
			if storeErr != nil {
				healthy = false
				m.log.Warn("history did not take messages; they wait in MESSAGES", "messages", len(jobs), "error", storeErr)
			}
			m.settle(jobs, outcomes, pause)
			m.settled.Store(true)
		}
		if healthy {
			pause = minPause
			continue
		}
		select {
		case <-time.After(pause):
		case <-fetch.Done():
		}
		pause = min(2*pause, maxPause)
	}
}

// removeDone keeps MESSAGES short until ctx ends, on the caller's goroutine.
func (m *mirror) removeDone(ctx context.Context) {
	tick := time.NewTicker(removeEvery)
	defer tick.Stop()
	for again := false; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		settled := m.settled.Swap(false)
		if !settled && !again {
			continue
		}
		again = settled // the last acknowledgements may be on their way
		if err := m.source.RemoveDone(ctx); err != nil && ctx.Err() == nil {
			again = true
			m.log.Warn("messages that every consumer has stay in MESSAGES; it is tried again", "error", err)
		}
	}
}

// handle stores what is to be stored. Where the batch fails though the store
// answers, each message is tried alone, so that one does not hold up the others.
func (m *mirror) handle(ctx context.Context, jobs []streams.Job) ([]outcome, error) {
	outcomes := make([]outcome, len(jobs))
	var messages []schemas.Message
	var at []int // index in jobs of each message
	for i, j := range jobs {
		if !j.Keep {
			continue
		}
		msg, err := schemas.DecodeMessage(j.Data)
		if err != nil {
			outcomes[i] = poison
			m.log.Error("a message can never be stored and is terminated", "sequence", j.Sequence, "error", err)
			continue
		}
		kept, err := m.kept(ctx, &msg)
		if err != nil {
			outcomes[i] = postponed
			continue
		}
		if kept {
			messages, at = append(messages, msg), append(at, i)
		}
	}
	if len(messages) == 0 {
		return outcomes, nil
	}
	err := m.append(ctx, messages)
	if err == nil {
		m.metrics.stored.Add(float64(len(messages)))
		return outcomes, nil
	}
	alone := len(messages) > 1 && m.store.Ping(ctx) == nil
	for k, i := range at {
		if alone && m.append(ctx, messages[k:k+1]) == nil {
			m.metrics.stored.Inc()
			continue
		}
		outcomes[i] = postponed
	}
	return outcomes, err
}

// kept says whether a participant still keeps history: one who switched it off a
// moment ago does not want what was on its way, not even having switched it on
// again. Of a group, whose settings and members are many, the gateway that took the
// message has said so. An update is kept where its target is, and expires with it: what
// it says of its own end counts in the store, where the target is not known.
func (m *mirror) kept(ctx context.Context, msg *schemas.Message) (bool, error) {
	if !msg.IsUpdate() && msg.Expired(schemas.Now()) {
		return false, nil
	}
	if msg.GroupID != "" {
		return true, nil
	}
	at := msg.Timestamp
	if msg.IsUpdate() {
		at = msg.TargetMessageID.Time()
	}
	for _, u := range []schemas.UserID{msg.SenderID, msg.ReceiverID} {
		p, err := m.directory.Person(ctx, u)
		if err != nil {
			return false, err
		}
		if p.Settings.KeepsHistory() && at >= p.Settings.HistorySince {
			return true, nil
		}
	}
	return false, nil
}

func (m *mirror) append(ctx context.Context, messages []schemas.Message) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return m.store.Append(ctx, messages)
}

// settle answers the stream. An answer that gets lost only means that the
// message comes again, and the store knows it already.
func (m *mirror) settle(jobs []streams.Job, outcomes []outcome, pause time.Duration) {
	for i, j := range jobs {
		var err error
		switch outcomes[i] {
		case done:
			err = j.Ack()
		case postponed:
			m.metrics.postponed.Inc()
			err = j.Later(pause)
		case poison:
			m.metrics.unstorable.Inc()
			err = j.Drop("not a message of the schema")
		}
		if err != nil {
			m.log.Debug("an answer to the stream was not sent; the message comes again", "sequence", j.Sequence, "error", err)
		}
	}
}
