package workers

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
)

// source delivers messages to the mirror. *streams.Jobs implements it.
type source interface {
	Fetch(ctx context.Context, n int, wait time.Duration) ([]streams.Job, error)
	RemoveDone(ctx context.Context) error
}

// mirror copies the messages that a user or group keeps from MESSAGES into history.
type mirror struct {
	source    source
	store     Store
	directory *directory.Directory
	metrics   *metrics
	log       *slog.Logger
	answered  atomic.Bool // the mirror answered jobs after the last run of removeDone
}

const (
	batchSize = 500
	fetchWait = 5 * time.Second
	// storeTimeout bounds one write. It is shorter than the consumer's ack wait, so a
	// slow store never works on the same batch twice at the same time.
	storeTimeout = 30 * time.Second
	minPause     = 250 * time.Millisecond
	maxPause     = 15 * time.Second
	// removeEvery is the time between two removals from MESSAGES.
	removeEvery = 2 * time.Second
)

// outcome is the result of one job. Only answer turns it into an acknowledgement.
type outcome int

const (
	done      outcome = iota // it is stored, or no user keeps it
	postponed                // the store did not accept it: retry later
	poison                   // it can never be stored
)

// run mirrors messages until fetch ends. The context work ends later, so the mirror can
// finish its batch.
func (m *mirror) run(fetch, work context.Context) {
	pause := minPause
	for fetch.Err() == nil {
		jobs, err := m.source.Fetch(fetch, batchSize, fetchWait)
		if err != nil && fetch.Err() == nil {
			m.log.Warn("failed to fetch messages for history; the worker retries", "error", err)
		}
		healthy := err == nil
		if len(jobs) > 0 {
			outcomes, storeErr := m.handle(work, jobs)
			if storeErr != nil {
				healthy = false
				m.log.Warn("the history store did not accept messages; they wait in MESSAGES", "messages", len(jobs), "error", storeErr)
			}
			m.answer(jobs, outcomes, pause)
			m.answered.Store(true)
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

// removeDone removes from MESSAGES, until ctx ends, the messages that every consumer has
// acknowledged.
func (m *mirror) removeDone(ctx context.Context) {
	tick := time.NewTicker(removeEvery)
	defer tick.Stop()
	for again := false; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		answered := m.answered.Swap(false)
		if !answered && !again {
			continue
		}
		again = answered // the last acknowledgements may be in flight
		if err := m.source.RemoveDone(ctx); err != nil && ctx.Err() == nil {
			again = true
			m.log.Warn("failed to remove acknowledged messages from MESSAGES; the worker retries", "error", err)
		}
	}
}

// handle stores the messages of a batch that are to be kept. If the store answers but
// the batch fails, handle stores the messages one by one, so one message does not block the
// others.
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
			m.log.Error("failed to decode a message; it is terminated", "sequence", j.Sequence, "error", err)
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
	oneByOne := len(messages) > 1 && m.store.Ping(ctx) == nil
	for k, i := range at {
		if oneByOne && m.append(ctx, messages[k:k+1]) == nil {
			m.metrics.stored.Inc()
			continue
		}
		outcomes[i] = postponed
	}
	return outcomes, err
}

// kept reports whether a participant keeps the message now. A user who has switched
// history off since it was sent does not, even if history is on again. For a group
// message the gateway that accepted it has decided. An update is kept if its target is
// kept, and expires with it; only the store knows the target.
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
		p, err := m.directory.User(ctx, u)
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

// answer acknowledges, postpones or terminates each job. If an answer is lost, the
// stream redelivers the message, and Append ignores it.
func (m *mirror) answer(jobs []streams.Job, outcomes []outcome, pause time.Duration) {
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
			m.log.Debug("failed to answer the stream; it will redeliver the message", "sequence", j.Sequence, "error", err)
		}
	}
}
