package streams

import (
	"encoding/binary"
	"fmt"

	"github.com/nats-io/nats.go"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// ChannelNews is the word that a channel has a new entry.
type ChannelNews struct {
	Group     schemas.GroupID
	MessageID schemas.MessageID
	Sequence  uint64            // in CHANNELS
	Changed   schemas.MessageID // the last change of the group by which it was sent; empty: nobody knows
}

// ChannelListener hears of new entries of all channels. Its methods may be called
// concurrently and must not block.
type ChannelListener interface {
	News(n ChannelNews)
	// Gap tells that some may have been lost.
	Gap()
}

// channelQueue is the size of the queue between NATS and the listener. When it is
// full NATS drops news and reports a slow consumer, which becomes a gap.
const channelQueue = 4096

// ChannelWatch tells a listener of the news of all channels. Where the process is
// alone they come by PublishChannelNews itself.
type ChannelWatch struct {
	c       *Conn
	to      ChannelListener
	sub     *nats.Subscription // nil where the process is alone
	queue   chan *nats.Msg     // channelQueue; written by NATS, read by run, never closed
	stop    chan struct{}
	stopped chan struct{}
}

// WatchChannels starts telling to; a process has one at a time. Close it before the
// Conn.
func (c *Conn) WatchChannels(to ChannelListener) (*ChannelWatch, error) {
	w := &ChannelWatch{c: c, to: to, queue: make(chan *nats.Msg, channelQueue), stop: make(chan struct{}), stopped: make(chan struct{})}
	if !c.opts.Alone {
		var err error
		if w.sub, err = c.lives.ChanSubscribe(subject.ChannelNewsPrefix+"*", w.queue); err != nil {
			return nil, fmt.Errorf("failed to subscribe to %s*: %w", subject.ChannelNewsPrefix, err)
		}
	}
	c.hearing.Store(w)
	go w.run()
	return w, nil
}

// Close ends the subscription. A call to the listener that is under way in another
// goroutine may still finish.
func (w *ChannelWatch) Close() {
	w.c.hearing.CompareAndSwap(w, nil)
	close(w.stop)
	<-w.stopped
	unsubscribe(w.sub)
}

func (w *ChannelWatch) run() {
	defer close(w.stopped)
	for {
		select {
		case m := <-w.queue:
			n, err := parseChannelNews(m)
			if err != nil {
				w.c.log.Warn("the news of a channel cannot be read", "subject", m.Subject, "error", err)
				continue
			}
			w.c.noChannelAt.Store(someChannel)
			w.to.News(n)
		case <-w.stop:
			return
		}
	}
}

// gap tells the listener where sub is its.
func (w *ChannelWatch) gap(sub *nats.Subscription) bool {
	if w == nil || w.sub != sub {
		return false
	}
	w.to.Gap()
	return true
}

// lost tells the listener that the connection was away.
func (w *ChannelWatch) lost() {
	if w != nil {
		w.to.Gap()
	}
}

// PublishChannelNews tells all gateways, this one included, that a channel has a new
// entry.
func (c *Conn) PublishChannelNews(n ChannelNews) {
	if c.opts.Alone {
		if w := c.hearing.Load(); w != nil {
			w.to.News(n)
		}
		return
	}
	if err := c.lives.Publish(subject.ChannelNews(n.Group), n.encode()); err != nil && !jsapi.IsClosed(err) {
		c.log.Debug("the news of a channel was not sent", "error", err)
	}
}

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
