package workers

import (
	"context"
	"log/slog"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/subject"
)

// upkeep goes round all people: it removes the devices that nobody uses, completes
// removals that were cut short, and forgets accounts that were deleted long ago. Any number of workers may do so at
// once: each change is a compare-and-set.
type upkeep struct {
	streams *streams.Conn
	metrics *metrics
	log     *slog.Logger
	maxIdle time.Duration // 0: for ever
	erasure *erasure
}

const (
	// roundsAnIdle is how many rounds there are in the time that a device may stay
	// unused, so a device is removed at most a part in so many late.
	roundsAnIdle = 30
	maxRound     = 24 * time.Hour
	// roundRetry is the pause after a round that failed.
	roundRetry = time.Minute
)

func newUpkeep(opts Options, m *metrics, e *erasure) *upkeep {
	return &upkeep{streams: opts.Streams, metrics: m, log: opts.Log, maxIdle: opts.DeviceMaxIdle, erasure: e}
}

// run goes round until ctx ends.
func (k *upkeep) run(ctx context.Context) {
	every := maxRound
	if k.maxIdle > 0 {
		every = min(k.maxIdle/roundsAnIdle, maxRound)
	}
	for {
		pause := every
		if err := k.round(ctx, time.Now()); err != nil && ctx.Err() == nil {
			pause = min(pause, roundRetry)
			k.log.Warn("not all people were looked at; it is tried again", "error", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// round looks at everybody once. What fails for one person is no reason to leave
// out the others.
func (k *upkeep) round(ctx context.Context, now time.Time) error {
	memory, err := k.streams.EraseMemory(ctx)
	if err != nil {
		return err
	}
	var failed error
	err = k.streams.EachPerson(ctx, func(u schemas.UserID, record schemas.Devices) error {
		if err := k.lookAt(ctx, u, record, now, memory); err != nil {
			failed = err
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return failed
}

// lookAt does what is due of one person. memory is how long deleted accounts are remembered.
func (k *upkeep) lookAt(ctx context.Context, u schemas.UserID, record schemas.Devices, now time.Time, memory time.Duration) error {
	switch {
	case record.Erased && now.Sub(record.DeletedAt.Time()) <= memory: // users who got a message of theirs since are told
		return k.streams.RequestErasure(ctx, u)
	case record.Erased && !record.Taken(schemas.TimestampOf(now)):
		return k.streams.ForgetAccount(ctx, u)
	case record.Deleted():
		k.erasure.changed(u, record)
		return nil
	case k.maxIdle > 0:
		if err := k.deactivate(ctx, u, record, now); err != nil {
			return err
		}
	}
	return k.streams.FinishRemovals(ctx, u, record)
}

// deactivate removes the devices of one person that nobody used for so long.
func (k *upkeep) deactivate(ctx context.Context, u schemas.UserID, record schemas.Devices, now time.Time) error {
	before := schemas.TimestampOf(now.Add(-k.maxIdle))
	for _, d := range record.Devices {
		if !d.Idle(before) {
			continue
		}
		gone, err := k.streams.Deactivate(ctx, subject.Address{User: u, Device: d.DeviceID}, before)
		if gone {
			k.metrics.deactivated.Inc()
			k.log.Info("a device that nobody used was removed", "device", d.DeviceID, "last_active", d.LastActive.Time())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
