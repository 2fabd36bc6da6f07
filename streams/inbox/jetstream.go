package inbox

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/jsapi"
)

const (
	// pullExpires is how long a pull request waits for messages. A request whose end did
	// not come pullLate after that counts as lost. So does one for the stored messages, if
	// nothing came for pullLate: if another connection removes the end of the backlog at
	// that moment, the server does not always answer that it was reached.
	pullExpires = time.Minute
	pullLate    = 5 * time.Second
	// pullAckWait is after what time JetStream redelivers an entry that was not
	// acknowledged. That matters only if the first delivery was lost.
	pullAckWait = 30 * time.Second
	// pullBatch bounds the entries of one pull: all of them are delivered, also if the
	// connection has no room.
	pullBatch = 64
	// pullInactive is how long JetStream keeps a consumer whose gateway died.
	pullInactive = time.Minute
)

// jetstreamConsumer is the [Consumer] on a pull consumer in JetStream.
//
// A consumer in JetStream belongs to one connection: it begins after pos, and nothing else
// pulls from it. So two connections of a device never share messages. It numbers its
// messages, and pos follows the entries while the numbers have no gap. At a gap, or if
// something else may be lost, the consumer is replaced by one that begins after pos. Live
// messages bring only frames; entries among them are ignored.
type jetstreamConsumer struct {
	deviceConsumer
	pulls *pulls

	// Guarded by mu.
	consumer     string            // its name; empty while there is none
	made         int               // consumers so far: a name is never used again
	next         uint64            // the number of the consumer's next message
	wanted       int               // messages that the open pull may still bring; with unacked at most MaxInFlight
	pullEnd      time.Time         // when the open pull has ended at the latest
	replies      map[uint64]string // reply subjects of entries in the window, unacknowledged; at most MaxInFlight
	replacing    bool
	replaceAgain bool // something was lost while the consumer was replaced
}

var _ implementation = (*jetstreamConsumer)(nil)

// open implements [source].
func (b *jetstreamConsumer) open(ctx context.Context) error {
	earlier, err := b.readAckRecord(ctx)
	if err != nil {
		return err
	}
	b.earlier = earlier
	return b.createConsumer(ctx)
}

// Start implements [Consumer].
func (b *jetstreamConsumer) Start() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.enter(backlog)
	b.pull()
}

// createConsumer creates a consumer that begins after pos. pos stays while there is none.
func (b *jetstreamConsumer) createConsumer(ctx context.Context) error {
	b.mu.Lock()
	b.made++
	name := string(b.addr.Device) + "-" + string(b.session)
	if b.made > 1 {
		name += "-" + strconv.Itoa(b.made)
	}
	from := b.pos + 1
	b.mu.Unlock()

	err := b.owner.opts.API.CreateConsumer(ctx, b.stream, jetstream.ConsumerConfig{
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
		Replicas:          1, // it is replaced if its server dies
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

// pull asks for as many entries as the window has room for, unless a pull is open. Until
// the backlog is delivered it asks only for stored entries, so that the server answers when
// their end is reached.
func (b *jetstreamConsumer) pull() {
	room := min(schemas.MaxInFlight-b.window.unacked, pullBatch)
	if b.isEnded() || b.state == opened || b.consumer == "" || b.wanted > 0 || b.full() {
		return
	}
	b.wanted, b.pullEnd = room, b.owner.opts.Now().Add(pullExpires+pullLate)
	request := pullRequest{Batch: room, Expires: pullExpires}
	if b.state == backlog {
		b.pullEnd = b.owner.opts.Now().Add(pullLate)
		request = pullRequest{Batch: room, NoWait: true}
	}
	b.pulls.pull(b.stream, b.consumer, request)
}

// pulled takes one message of a consumer.
func (b *jetstreamConsumer) pulled(meta *nats.MsgMetadata, m *nats.Msg) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isEnded() || meta.Consumer != b.consumer {
		return
	}
	if meta.Sequence.Consumer != b.next || b.wanted == 0 {
		b.replace()
		return
	}
	b.next++
	b.wanted--
	if b.state == backlog {
		b.pullEnd = b.owner.opts.Now().Add(pullLate)
	}
	seq := meta.Sequence.Stream
	switch {
	case !b.known(seq):
		b.pos = seq // before, so that the entry's own cursor covers it
		if !b.deliver(seq, m.Data, b.earlier.covers(jsapi.Message{Sequence: seq, Time: meta.Timestamp})) {
			b.pulls.ack(m.Reply)
			break
		}
		b.replies[seq] = m.Reply
	case b.replies[seq] != "": // a redelivery
		b.replies[seq] = m.Reply
	default:
		b.pulls.ack(m.Reply)
	}
	b.pull()
}

// answered takes the end of a pull request.
func (b *jetstreamConsumer) answered(consumer, status string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isEnded() || consumer != b.consumer {
		return
	}
	switch status {
	case "404": // the end of the stored entries
		b.wanted = 0
		b.allDelivered()
		b.pull()
	case "408": // expired
		b.wanted = 0
		b.pull()
	default: // the consumer was deleted, or moves; the sweeper replaces it, so that this is not retried too often
		b.pullEnd = time.Time{}
		b.wake()
	}
}

// acknowledged implements [source].
func (b *jetstreamConsumer) acknowledged(seq uint64) {
	if reply, ok := b.replies[seq]; ok {
		delete(b.replies, seq)
		b.pulls.ack(reply)
	}
}

// proceed implements [source].
func (b *jetstreamConsumer) proceed(most int) {
	if b.window.unacked <= most {
		b.pull()
	}
}

// tick implements [source].
func (b *jetstreamConsumer) tick(now time.Time) (next time.Time) {
	switch {
	case b.replacing:
	case b.consumer == "", b.wanted > 0 && now.After(b.pullEnd):
		b.replace()
	default:
		b.proceed(schemas.MaxInFlight - 1)
		if b.wanted > 0 {
			return b.pullEnd
		}
	}
	return now
}

// compare implements [source].
func (b *jetstreamConsumer) compare(newest uint64) {
	if newest <= b.newest || b.wanted == 0 { // it comes when there is room
		return
	}
	b.owner.late.Add(1)
	b.newest = newest
	b.replace()
}

// verify implements [source]: the whole window was seen in the stream.
func (b *jetstreamConsumer) verify(context.Context) error { return nil }

// Entry implements [bus.Listener]: entries come only from the consumer in JetStream.
func (b *jetstreamConsumer) Entry(uint64, []byte) {}

// Gap implements [bus.Listener]: only frames may be lost.
func (b *jetstreamConsumer) Gap() {}

// Lost tells that pulled entries may be lost.
func (b *jetstreamConsumer) Lost() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replace()
}

// replace replaces the consumer by a new one, in a goroutine of its own. If that fails the
// sweeper retries it.
func (b *jetstreamConsumer) replace() {
	switch {
	case b.isEnded():
	case b.replacing:
		b.replaceAgain = true
	default:
		b.replacing = true
		b.wake()
		b.work(b.runReplace)
	}
}

func (b *jetstreamConsumer) runReplace(ctx context.Context) {
	for {
		b.mu.Lock()
		b.replaceAgain = false
		b.mu.Unlock()
		b.deleteConsumer(ctx)
		err := b.createConsumer(ctx)
		b.mu.Lock()
		if err != nil && ctx.Err() == nil {
			b.owner.opts.Log.Warn("a device's consumer could not be created; the next sweep retries it", "subject", b.subject, "error", err)
		}
		if err != nil || b.isEnded() || !b.replaceAgain {
			b.replacing = false
			b.pull()
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
	}
}

// deleteConsumer deletes the consumer. If that fails because NATS is away, the server
// deletes it after pullInactive.
func (b *jetstreamConsumer) deleteConsumer(ctx context.Context) {
	b.mu.Lock()
	name := b.consumer
	b.consumer = ""
	clear(b.replies)
	b.mu.Unlock()
	if name == "" {
		return
	}
	b.pulls.register(name, nil)
	if err := b.owner.opts.API.DeleteConsumer(ctx, b.stream, name); err != nil {
		b.owner.opts.Log.Debug("a device's consumer was not deleted", "consumer", name, "error", err)
	}
}

// Close implements [Consumer].
func (b *jetstreamConsumer) Close(ctx context.Context) {
	b.deviceConsumer.Close(ctx)
	b.deleteConsumer(ctx)
}
