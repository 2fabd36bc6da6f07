package workers

import (
	"context"
	"log/slog"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/subject"
)

// upkeep visits all users in rounds. It removes unused devices, completes interrupted
// removals of devices, and purges the records of accounts that were deleted long ago.
// Each change is a compare-and-set, so any number of workers may run rounds at the same
// time.
type upkeep struct {
	streams *streams.Conn
	metrics *metrics
	log     *slog.Logger
	maxIdle time.Duration // 0: for ever
	erasure *erasure
}

const (
	// roundsPerIdle is the number of rounds in the time that a device may stay unused.
	// So upkeep removes a device at most 1/roundsPerIdle of that time too late.
	roundsPerIdle = 30
	maxRound      = 24 * time.Hour
	// roundRetry is the pause after a failed round.
	roundRetry = time.Minute
)

func newUpkeep(opts Options, m *metrics, e *erasure) *upkeep {
	return &upkeep{streams: opts.Streams, metrics: m, log: opts.Log, maxIdle: opts.DeviceMaxIdle, erasure: e}
}

// run runs rounds until ctx ends.
func (k *upkeep) run(ctx context.Context) {
	every := maxRound
	if k.maxIdle > 0 {
		every = min(k.maxIdle/roundsPerIdle, maxRound)
	}
	for {
		pause := every
		if err := k.round(ctx, time.Now()); err != nil && ctx.Err() == nil {
			pause = min(pause, roundRetry)
			k.log.Warn("failed to check all users; the worker retries", "error", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// round checks each user once. A failure for one user does not stop the round.
func (k *upkeep) round(ctx context.Context, now time.Time) error {
	memory, err := k.streams.EraseMemory(ctx)
	if err != nil {
		return err
	}
	var failed error
	err = k.streams.Directory().Each(ctx, func(u schemas.UserID, record schemas.Devices) error {
		if err := k.check(ctx, u, record, now, memory); err != nil {
			failed = err
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return failed
}

// check does what is due for one user. The record of an erased account is kept for memory.
func (k *upkeep) check(ctx context.Context, u schemas.UserID, record schemas.Devices, now time.Time, memory time.Duration) error {
	switch {
	case record.Erased && now.Sub(record.DeletedAt.Time()) <= memory: // it also tells users who received a late message
		return k.streams.RequestErasure(ctx, u)
	case record.Erased && !record.NameTaken(schemas.TimestampOf(now)):
		return k.streams.ForgetAccount(ctx, u)
	case record.Deleted():
		k.erasure.devicesChanged(u, record)
		return nil
	case k.maxIdle > 0:
		if err := k.deactivate(ctx, u, record, now); err != nil {
			return err
		}
	}
	return k.streams.FinishRemovals(ctx, u, record)
}

// deactivate removes the devices that a user has not used for maxIdle.
func (k *upkeep) deactivate(ctx context.Context, u schemas.UserID, record schemas.Devices, now time.Time) error {
	before := schemas.TimestampOf(now.Add(-k.maxIdle))
	for _, d := range record.Devices {
		if !d.Idle(before) {
			continue
		}
		removed, err := k.streams.Deactivate(ctx, subject.Address{User: u, Device: d.DeviceID}, before)
		if removed {
			k.metrics.deactivated.Inc()
			k.log.Info("removed an unused device", "device", d.DeviceID, "last_active", d.LastActive.Time())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
