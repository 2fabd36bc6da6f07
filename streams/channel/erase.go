package channel

import (
	"context"
	"math"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// Erase removes a message that was deleted for everyone from a channel, with its edits
// and reactions. The server overwrites its content on disk. Erase may be repeated.
func (c *Channels) Erase(ctx context.Context, id schemas.GroupID, target schemas.MessageID) error {
	at, err := c.Holds(ctx, &schemas.Message{MessageID: target, GroupID: id})
	if err != nil {
		return err
	}
	edits, err := c.between(ctx, subject.ChannelUpdates(id, schemas.ChangeEdit, target), 1, math.MaxUint64)
	if err != nil {
		return err
	}
	gone := make([]uint64, 0, 1+len(edits))
	if at != 0 {
		gone = append(gone, at)
	}
	for _, e := range edits {
		gone = append(gone, e.Sequence)
	}
	err = jsapi.Parallel(ctx, len(gone), func(ctx context.Context, i int) error {
		return c.api.Erase(ctx, subject.ChannelsStream, gone[i])
	})
	if err != nil {
		return err
	}
	return c.api.Purge(ctx, subject.ChannelsStream, subject.ChannelUpdates(id, schemas.ChangeReaction, target))
}

// Delete deletes all entries of a channel whose group was deleted.
func (c *Channels) Delete(ctx context.Context, id schemas.GroupID) error {
	return c.api.Purge(ctx, subject.ChannelsStream, subject.ChannelEntries(id, ">"))
}
