package streams

import (
	"context"
	"time"

	"roost/schemas"
	"roost/streams/inbox"
)

// StartConsumers makes the process able to deliver to devices, by consumers of the kind in
// Options.DeviceConsumer. A gateway calls it once, and closes the consumers before the Conn.
func (c *Conn) StartConsumers(ctx context.Context) (*inbox.Consumers, error) {
	return c.startConsumers(ctx, time.Now)
}

func (c *Conn) startConsumers(ctx context.Context, now func() time.Time) (*inbox.Consumers, error) {
	if err := c.sendLog.Start(ctx); err != nil {
		return nil, err
	}
	consumers, err := inbox.Start(ctx, inbox.Options{
		Kind: c.opts.DeviceConsumer, Partitions: c.partitions, AckTimeout: c.opts.AckTimeout, RemovalWorkers: c.removalWorkers(), Now: now, Log: c.log,
		API: c.api, Live: c.lives, Bus: c.bus, Publisher: c.publisher, SendLog: c.sendLog, Receipts: c.receipts,
		Blocks: c.blocks, Unremoved: c.admission, Observe: c.clock.Observe, Frontier: c.frontiers,
	})
	if err != nil {
		return nil, err
	}
	c.losses.onReconnect("live", consumers.Reconnected)
	return consumers, nil
}

// removalWorkers is how many deletions of entries a stream gets at a time if removal is overdue.
func (c *Conn) removalWorkers() int {
	if c.opts.SingleProcess {
		return inbox.DefaultRemovalWorkers
	}
	const withReplicas = 64
	return withReplicas
}

func (c *Conn) blocks(ctx context.Context, reader schemas.UserID) (func(schemas.UserID) bool, error) {
	user, err := c.directory.User(ctx, reader)
	if err != nil {
		return nil, err
	}
	return user.Blocks, nil
}
