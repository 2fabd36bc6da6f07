package channel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"roost/schemas"
	"roost/streams/bus"
	"roost/streams/jsapi"
	"roost/streams/publisher"
	"roost/streams/sendlog"
	"roost/streams/subject"
)

// Channels stores and reads messages of channels. Methods may be called concurrently.
type Channels struct {
	api       *jsapi.Client
	publisher *publisher.Publisher
	sends     sendlog.Log
	bus       bus.Channels
	log       *slog.Logger

	noneAt atomic.Int64 // when CHANNELS was seen to be empty, or some
}

// New makes a Channels.
func New(api *jsapi.Client, p *publisher.Publisher, sends sendlog.Log, b bus.Channels, log *slog.Logger) *Channels {
	return &Channels{api: api, publisher: p, sends: sends, bus: b, log: log}
}

const (
	// MaxEntries bounds the entries of one subject of CHANNELS, so the messages of a
	// channel. The stream removes the oldest.
	MaxEntries = 10_000
	// MaxReactions is how many of the changes of reactions to a message count. The
	// newest count.
	MaxReactions = 256
)

// Entry is a message of a channel, or an update, as CHANNELS stores it.
type Entry struct {
	schemas.Message
	Sequence uint64
}

// Send is one message or update to be committed to a channel.
type Send struct {
	Message *schemas.Message
	Stored  uint64 // its sequence, if CHANNELS already has it; else 0
	Late    bool   // not an update, and stored long after it got its id
	Log     bool   // commit it to MESSAGES as well
	Keep    bool   // and history workers store it
}

// Commit commits a message to the channel of its group, and to MESSAGES if s.Log. done is
// called once, does not block, and gets the sequence in CHANNELS after all of it is
// durable. A message whose send has no record yet waits for the record.
func (c *Channels) Commit(s Send, done func(seq uint64, err error)) {
	if c.sends.Recorded() {
		c.commit(s, done)
		return
	}
	c.sends.WhenRecorded(func(err error) {
		if err != nil {
			done(0, err)
			return
		}
		c.commit(s, done)
	})
}

func (c *Channels) commit(s Send, done func(seq uint64, err error)) {
	m, sequence := s.Message, s.Stored
	all := publisher.NewJoin(2, func(err error) { done(sequence, err) })
	put := func(stream, filter string, told func(publisher.Outcome)) {
		entry := publisher.Entry{Subject: filter, ID: string(m.MessageID), Data: m.Encode(), ExpiresAt: m.ExpiresAt,
			Keep: s.Keep && stream == subject.MessagesStream}
		err := c.publisher.Commit(stream, []publisher.Entry{entry}, func(o []publisher.Outcome) {
			told(o[0])
			all.Done(o[0].Err)
		})
		if err != nil {
			all.Done(err)
		}
	}
	if s.Stored == 0 {
		filter := subject.ChannelEntry(m)
		if s.Late {
			filter = subject.ChannelLate(m.GroupID)
		}
		put(subject.ChannelsStream, filter, func(o publisher.Outcome) {
			sequence = o.Sequence
			c.noneAt.Store(some)
		})
	} else {
		all.Done(nil)
	}
	if s.Log {
		put(subject.MessagesStream, subject.Message(m), func(publisher.Outcome) {})
	} else {
		all.Done(nil)
	}
}

func parse(m jsapi.Message) (Entry, error) {
	message, err := schemas.DecodeMessage(m.Data)
	if err == nil && subject.ChannelEntry(&message) != m.Subject && (message.IsUpdate() || subject.ChannelLate(message.GroupID) != m.Subject) {
		err = errors.New("it belongs to another subject")
	}
	return Entry{message, m.Sequence}, err
}

// Any reports whether CHANNELS ever held anything, as far as this process knows. It asks
// the stream again if the last look found nothing and is older than age.
func (c *Channels) Any(ctx context.Context, age time.Duration) (bool, error) {
	switch at := c.noneAt.Load(); {
	case at == some:
		return true, nil
	case time.Since(time.Unix(0, at)) < age:
		return false, nil
	}
	now := time.Now().UnixNano()
	_, found, err := c.api.Last(ctx, subject.ChannelsStream, subject.AllChannels)
	if err != nil {
		return false, fmt.Errorf("failed to look for channels: %w", err)
	}
	if found {
		now = some
	}
	if at := c.noneAt.Load(); at != some {
		c.noneAt.CompareAndSwap(at, now)
	}
	return found, nil
}

// some is stored in place of the time at which CHANNELS was empty.
const some = -1

// listener records that there are channels.
type listener struct {
	bus.ChannelListener
	c *Channels
}

// News implements [bus.ChannelListener].
func (l listener) News(n bus.ChannelNews) {
	l.c.noneAt.Store(some)
	l.ChannelListener.News(n)
}

// Watch calls a listener for the news of all channels until stop. A process has one at a
// time.
func (c *Channels) Watch(to bus.ChannelListener) (stop func(), err error) {
	return c.bus.WatchChannels(listener{to, c})
}
