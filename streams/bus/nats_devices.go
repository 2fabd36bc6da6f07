package bus

import (
	"encoding/binary"

	"github.com/nats-io/nats.go"

	"roost/schemas"
	"roost/streams/subject"
)

// A live payload is one byte of kind and the data of that kind.
const (
	liveEntry    byte = 'm' // 8 bytes of inbox sequence, big-endian, then the entry
	liveFrame    byte = 'f' // a server frame, ready to be written
	liveReplaced byte = 'r' // the session id of the newer connection
	liveRemoved  byte = 'x' // the device was removed
)

// Subscribe implements [Devices].
func (b *NATS) Subscribe(a subject.Address, to Listener) (leave func(), err error) {
	sub, err := b.devices.Subscribe(subject.Live(subject.Partition(a.User, b.partitions), a))
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listeners[sub] = to
	return func() {
		b.mu.Lock()
		delete(b.listeners, sub)
		b.mu.Unlock()
		unsubscribe(sub)
	}, nil
}

func (b *NATS) dispatch(m *nats.Msg) {
	b.mu.RLock()
	to, ok := b.listeners[m.Sub]
	b.mu.RUnlock()
	if !ok || len(m.Data) == 0 {
		return
	}
	switch kind, body := m.Data[0], m.Data[1:]; {
	case kind == liveEntry && len(body) > 8:
		to.Entry(binary.BigEndian.Uint64(body), body[8:])
	case kind == liveFrame:
		to.Frame(body)
	case kind == liveReplaced:
		to.Replaced(schemas.SessionID(body))
	case kind == liveRemoved:
		to.Removed()
	default:
		b.log.Warn("a live message of unknown kind", "subject", m.Subject)
	}
}

func (b *NATS) publishLive(a subject.Address, kind byte, body ...[]byte) {
	n := 1
	for _, part := range body {
		n += len(part)
	}
	payload := append(make([]byte, 0, n), kind)
	for _, part := range body {
		payload = append(payload, part...)
	}
	b.publish(subject.Live(subject.Partition(a.User, b.partitions), a), payload)
}

// PublishEntry implements [Devices].
func (b *NATS) PublishEntry(a subject.Address, seq uint64, entry []byte) {
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], seq)
	b.publishLive(a, liveEntry, head[:], entry)
}

// PublishFrame implements [Devices].
func (b *NATS) PublishFrame(a subject.Address, frame []byte) { b.publishLive(a, liveFrame, frame) }

// PublishReplaced implements [Devices].
func (b *NATS) PublishReplaced(a subject.Address, session schemas.SessionID) {
	b.publishLive(a, liveReplaced, []byte(session))
}

// PublishRemoved implements [Devices].
func (b *NATS) PublishRemoved(a subject.Address) { b.publishLive(a, liveRemoved) }
