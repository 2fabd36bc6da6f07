package streams

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/jsapi"
)

// DeviceConsumer is a kind of [Inbox].
type DeviceConsumer string

// Values of DeviceConsumer.
const (
	// DirectConsumer reads with Direct Get and hears of new entries on core NATS.
	// Its cost does not grow with the devices that are connected.
	DirectConsumer DeviceConsumer = "direct"
	// JetStreamConsumer has a pull consumer in JetStream for each connected device,
	// for small installations that want to see devices in `nats consumer ls`.
	JetStreamConsumer DeviceConsumer = "jetstream"
)

const (
	// pullExpires is how long a pull request waits for messages. One whose end was
	// not heard of pullLate after it is taken as lost. So is one for what is there,
	// where nothing came for as long: where another connection removes the end of
	// the backlog at that moment, the server does not always say that it is there.
	pullExpires = time.Minute
	pullLate    = 5 * time.Second
	// pullAckWait is when JetStream repeats an entry that was not acknowledged. A
	// repeat is only news where the entry was lost on its way.
	pullAckWait = 30 * time.Second
	// pullBatch bounds the entries of one pull: whatever comes is delivered, whether the
	// connection has room or not.
	pullBatch = 64
	// pullInactive is how long JetStream keeps a consumer whose gateway is gone.
	pullInactive = time.Minute
)

// jetstreamInbox is the [Inbox] on a pull consumer of JetStream.
//
// A consumer is of one connection: it begins behind pos, and nobody else pulls
// from it, so two connections of a device never share messages. It numbers what
// it sends, so pos follows the entries of an unbroken row of numbers. At a gap,
// and wherever else something may be lost, the consumer is given up for a new one
// that begins behind pos. Live messages carry frames alone; entries among them
// are not looked at.
type jetstreamInbox struct {
	deviceInbox
	pulls *pulls

	// Guarded by mu.
	consumer string            // its name; empty while there is none
	made     int               // consumers so far: a name is never used again
	next     uint64            // the number that the consumer's next message has
	wanted   int               // messages that the open pull may still bring; with unacked at most MaxInFlight
	pullEnd  time.Time         // when the open pull has ended at the latest
	acks     map[uint64]string // reply subjects of entries in the window, unacknowledged; at most MaxInFlight
	started  bool
	renewing bool
	again    bool // renew once more: something was lost meanwhile
}

var _ deviceConsumer = (*jetstreamInbox)(nil)

// open implements [source].
func (b *jetstreamInbox) open(ctx context.Context) error {
	had, err := b.readAcked(ctx)
	if err != nil {
		return err
	}
	b.had = had
	return b.make(ctx)
}

// Start implements [Inbox].
func (b *jetstreamInbox) Start() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.started = true
	b.pull()
}

// make creates a consumer that begins behind pos. pos stays while there is none.
func (b *jetstreamInbox) make(ctx context.Context) error {
	b.mu.Lock()
	b.made++
	name := string(b.addr.Device) + "-" + string(b.session)
	if b.made > 1 {
		name += "-" + strconv.Itoa(b.made)
	}
	from := b.pos + 1
	b.mu.Unlock()

	err := b.owner.createConsumer(ctx, b.stream, jetstream.ConsumerConfig{
		Name:              name,
		Description:       "user " + string(b.addr.User),
		FilterSubject:     b.subject,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       from,
		AckPolicy:         jetstream.AckExplicitPolicy,
		AckWait:           pullAckWait,
		MaxDeliver:        -1,
		MaxAckPending:     schemas.MaxInFlight,
		InactiveThreshold: pullInactive,
		Replicas:          1, // a new one is made where its server dies
		MemoryStorage:     true,
	})
	if err != nil {
		return err
	}
	b.pulls.register(name, b)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.consumer, b.next, b.wanted = name, 1, 0
	return nil
}

// pull asks for as many entries as the window has room for, unless it did so. Until
// the inbox is drained it asks for what is there, so that its end is heard of.
func (b *jetstreamInbox) pull() {
	room := min(schemas.MaxInFlight-b.window.unacked, pullBatch)
	if b.ended || !b.started || b.consumer == "" || b.wanted > 0 || b.full() {
		return
	}
	b.wanted, b.pullEnd = room, b.owner.now().Add(pullExpires+pullLate)
	request := pullRequest{Batch: room, Expires: pullExpires}
	if !b.drained {
		b.pullEnd = b.owner.now().Add(pullLate)
		request = pullRequest{Batch: room, NoWait: true}
	}
	b.pulls.pull(b.stream, b.consumer, request)
}

// pulled takes one message of a consumer.
func (b *jetstreamInbox) pulled(meta *nats.MsgMetadata, m *nats.Msg) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended || meta.Consumer != b.consumer {
		return
	}
	if meta.Sequence.Consumer != b.next || b.wanted == 0 {
		b.renew()
		return
	}
	b.next++
	b.wanted--
	if !b.drained {
		b.pullEnd = b.owner.now().Add(pullLate)
	}
	seq := meta.Sequence.Stream
	switch {
	case !b.known(seq):
		b.pos = seq // before, so that the entry's own cursor has it
		if !b.deliver(seq, m.Data, b.had.covers(jsapi.Message{Sequence: seq, Time: meta.Timestamp})) {
			b.pulls.ack(m.Reply)
			break
		}
		b.acks[seq] = m.Reply
	case b.acks[seq] != "": // a repeat
		b.acks[seq] = m.Reply
	default:
		b.pulls.ack(m.Reply)
	}
	b.pull()
}

// answered hears how a pull request ended.
func (b *jetstreamInbox) answered(consumer, status string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended || consumer != b.consumer {
		return
	}
	switch status {
	case "404": // the end of what was there
		b.wanted = 0
		b.allDelivered()
		b.pull()
	case "408": // expired
		b.wanted = 0
		b.pull()
	default: // the consumer is gone, or moves; the sweeper renews it, so that it is not tried too often
		b.pullEnd = time.Time{}
		b.wake()
	}
}

// took implements [source].
func (b *jetstreamInbox) took(seq uint64) {
	if reply, ok := b.acks[seq]; ok {
		delete(b.acks, seq)
		b.pulls.ack(reply)
	}
}

// goOn implements [source].
func (b *jetstreamInbox) goOn(most int) {
	if b.window.unacked <= most {
		b.pull()
	}
}

// tick implements [source].
func (b *jetstreamInbox) tick(now time.Time) (next time.Time) {
	switch {
	case b.renewing:
	case b.consumer == "", b.wanted > 0 && now.After(b.pullEnd):
		b.renew()
	default:
		b.goOn(schemas.MaxInFlight - 1)
		if b.wanted > 0 {
			return b.pullEnd
		}
	}
	return now
}

// holds implements [source].
func (b *jetstreamInbox) holds(newest uint64) {
	if newest <= b.newest || b.wanted == 0 { // it comes when there is room
		return
	}
	b.owner.late.Add(1)
	b.newest = newest
	b.renew()
}

// verify implements [source]: all of the window was seen in the stream.
func (b *jetstreamInbox) verify(context.Context) error { return nil }

// Entry implements [bus.Listener]: entries come from the consumer alone.
func (b *jetstreamInbox) Entry(uint64, []byte) {}

// Gap implements [bus.Listener]: what may be lost is no entry.
func (b *jetstreamInbox) Gap() {}

// lost gives the consumer up: pulled entries may be lost.
func (b *jetstreamInbox) lost() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.renew()
}

// renew gives the consumer up for a new one, in a goroutine of its own. Where that
// fails the sweeper tries again.
func (b *jetstreamInbox) renew() {
	switch {
	case b.ended:
	case b.renewing:
		b.again = true
	default:
		b.renewing = true
		b.wake()
		b.work(b.replaceConsumer)
	}
}

func (b *jetstreamInbox) replaceConsumer(ctx context.Context) {
	for {
		b.mu.Lock()
		b.again = false
		b.mu.Unlock()
		b.giveUp(ctx)
		err := b.make(ctx)
		b.mu.Lock()
		if err != nil && ctx.Err() == nil {
			b.c.log.Warn("a device's consumer could not be made; it is tried again", "subject", b.subject, "error", err)
		}
		if err != nil || b.ended || !b.again {
			b.renewing = false
			b.pull()
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
	}
}

// giveUp deletes the consumer. One that stays, because NATS is away, ends by
// itself after pullInactive.
func (b *jetstreamInbox) giveUp(ctx context.Context) {
	b.mu.Lock()
	name := b.consumer
	b.consumer = ""
	clear(b.acks)
	b.mu.Unlock()
	if name == "" {
		return
	}
	b.pulls.register(name, nil)
	if err := b.owner.deleteConsumer(ctx, b.stream, name); err != nil {
		b.c.log.Debug("a device's consumer was not deleted", "consumer", name, "error", err)
	}
}

// Close implements [Inbox].
func (b *jetstreamInbox) Close(ctx context.Context) {
	b.deviceInbox.Close(ctx)
	b.giveUp(ctx)
}

// createConsumer makes a consumer, with a slot of the JetStream API.
func (cs *Consumers) createConsumer(ctx context.Context, stream string, config jetstream.ConsumerConfig) error {
	err := cs.c.api.Do(ctx, func(ctx context.Context) error {
		_, err := cs.c.api.JS.CreateConsumer(ctx, stream, config)
		return err
	})
	if err != nil {
		return fmt.Errorf("failed to make consumer %s of %s: %w", config.Name, stream, err)
	}
	return nil
}

// deleteConsumer deletes a consumer; that it is gone already is no error.
func (cs *Consumers) deleteConsumer(ctx context.Context, stream, name string) error {
	err := cs.c.api.Do(ctx, func(ctx context.Context) error { return cs.c.api.JS.DeleteConsumer(ctx, stream, name) })
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("failed to delete consumer %s of %s: %w", name, stream, err)
	}
	return nil
}
