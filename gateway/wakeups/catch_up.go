package wakeups

import (
	"context"
	"slices"
	"time"

	"roost/gateway/pages"
	"roost/schemas"
	"roost/streams/bus"
)

// CatchUp wakes a device that connects, for each channel of its user that has messages. The
// device itself knows which of them are new.
func (w *Notifier) CatchUp(ctx context.Context, d Device, u schemas.UserID) {
	if err := w.catchUp(ctx, d, u); err != nil {
		w.opts.Log.Warn("channels could not be read; their next message wakes the device", "error", err)
	}
}

func (w *Notifier) catchUp(ctx context.Context, d Device, u schemas.UserID) error {
	if some, err := w.streams.Channels().Any(ctx, time.Second); err != nil || !some {
		return err
	}
	groups, err := w.streams.Groups().Channels(ctx, u, w.opts.PushLimit, schemas.MaxWakeUps)
	if err != nil || len(groups) == 0 {
		return err
	}
	ids := make([]schemas.GroupID, len(groups))
	for i, g := range groups {
		ids[i] = g.GroupID
	}
	newest, err := w.streams.Channels().Newest(ctx, ids)
	if err != nil {
		return err
	}
	for _, e := range newest {
		group := groups[slices.Index(ids, e.GroupID)]
		if !pages.Sees(group, u, &e.Message) {
			continue
		}
		n := bus.ChannelNews{Group: e.GroupID, MessageID: e.MessageID, Sequence: e.Sequence}
		w.News(n)
		w.mu.Lock()
		heard := w.woken[d][n.Group].seq >= n.Sequence
		if !heard {
			w.note(d, n, time.Time{}) // so that the next message wakes it at once
		}
		w.mu.Unlock()
		if heard {
			continue
		}
		d.Wake(schemas.EncodeFrame(&schemas.WakeUp{GroupID: e.GroupID, MessageID: e.MessageID}))
		w.opts.Sent.Inc()
	}
	return nil
}
