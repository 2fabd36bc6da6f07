package streams_test

import (
	"context"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/inbox"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// timed is Consumers by a clock that only sweeps move.
type timed struct {
	*inbox.Consumers
	conn  *streams.Conn
	clock *clock
}

func startTimed(ctx context.Context, c *streams.Conn) (streamstest.Inboxes, error) {
	now := newClock()
	cs, err := c.StartConsumersAt(ctx, now.Now)
	return timed{cs, c, now}, err
}

// Open waits until the server knows the subscription. The product does not: what
// is lost in that moment the first look of the sweeper finds.
func (c timed) Open(ctx context.Context, a subject.Address, session schemas.SessionID, resume schemas.Cursor, sink inbox.Sink) (inbox.Consumer, error) {
	in, err := c.Consumers.Open(ctx, a, session, resume, sink)
	if err == nil {
		err = c.conn.LiveConn().FlushWithContext(ctx)
	}
	return in, err
}

func TestDirectInbox(t *testing.T) {
	streamstest.ExerciseInbox(t, timedSuite())
}

func TestJetStreamInbox(t *testing.T) {
	suite := timedSuite()
	suite.InOrder, suite.Forgets = true, true
	suite.Options = func(o *streams.Options) { o.DeviceConsumer = inbox.JetStream }
	streamstest.ExerciseInbox(t, suite)
}

func timedSuite() streamstest.InboxSuite {
	return streamstest.InboxSuite{
		Start:   startTimed,
		Disturb: streams.Gap,
		Sweep: func(all streamstest.Inboxes) {
			all.(timed).clock.Advance(streams.AckTimeout/10 - time.Millisecond)
			all.(timed).Sweep(context.Background())
		},
	}
}
