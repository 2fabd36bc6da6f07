package bus

import (
	"encoding/binary"
	"fmt"

	"github.com/nats-io/nats.go"

	"roost/schemas"
	"roost/streams/subject"
)

// channelQueue is the size of the queue between NATS and the listener of channels. If it
// is full NATS drops news and reports a slow consumer, which becomes a gap.
const channelQueue = 4096

// natsChannels has one subscription for the news of all channels.
type natsChannels struct {
	to  ChannelListener
	sub *nats.Subscription
}

// PublishChannelNews implements [Channels].
func (b *NATS) PublishChannelNews(n ChannelNews) { b.publish(subject.ChannelNews(n.Group), n.encode()) }

// WatchChannels implements [Channels].
func (b *NATS) WatchChannels(to ChannelListener) (stop func(), err error) {
	d := NewDispatcher(b.nc, channelQueue, func(m *nats.Msg) {
		n, err := parseChannelNews(m)
		if err != nil {
			b.log.Warn("the news of a channel cannot be read", "subject", m.Subject, "error", err)
			return
		}
		to.News(n)
	})
	sub, err := d.Subscribe(subject.ChannelNewsPrefix + "*")
	if err != nil {
		d.Close()
		return nil, err
	}
	w := &natsChannels{to, sub}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.channels = w
	return func() {
		b.mu.Lock()
		if b.channels == w {
			b.channels = nil
		}
		b.mu.Unlock()
		d.Close()
		unsubscribe(sub)
	}, nil
}

// has reports whether a subscription is that of the watch, which may be nil.
func (w *natsChannels) has(sub *nats.Subscription) bool { return w != nil && w.sub == sub }

// encode writes 8 bytes of sequence, big-endian, and one or two ids.
func (n ChannelNews) encode() []byte {
	body := binary.BigEndian.AppendUint64(make([]byte, 0, 8+2*len(n.MessageID)), n.Sequence)
	return append(append(body, n.MessageID...), n.Changed...)
}

func parseChannelNews(m *nats.Msg) (n ChannelNews, err error) {
	const head, id = 8, 26
	if len(m.Data) != head+id && len(m.Data) != head+2*id {
		return n, fmt.Errorf("it has %d bytes", len(m.Data))
	}
	n.Sequence = binary.BigEndian.Uint64(m.Data)
	if n.Group, err = schemas.ParseGroupID(m.Subject[len(subject.ChannelNewsPrefix):]); err != nil {
		return n, err
	}
	if n.MessageID, err = schemas.ParseMessageID(string(m.Data[head : head+id])); err != nil {
		return n, err
	}
	if len(m.Data) > head+id {
		n.Changed, err = schemas.ParseMessageID(string(m.Data[head+id:]))
	}
	return n, err
}
