package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"roost/gateway/limit"
	"roost/schemas"
	"roost/streams"
	"roost/streams/channel"
	"roost/streams/publisher"
)

// sender accepts the sends of a session. A send goes through these states:
//  1. pending: it holds a slot of the connection and waits for its look-ups;
//  2. recorded: its send record is durable or was found; in single-process mode it may also be
//     queued, and is durable after the copies;
//  3. stored: all its copies are durable, or its entry in the channel;
//  4. answered: reply told the client, once for each time that the client sent it.
//
// Each error before 4 answers it with refuse, and the client may retry it. Between 2 and 3 it
// waits for a commit, and goes on in a callback: commit, then accept.
type sender struct {
	// Static.
	*session                     // whose sends these are
	registered schemas.Timestamp // when the device was
	limiter    *rate.Limiter

	mu      sync.Mutex              // guards the rest
	newest  schemas.ClientMessageID // the largest number on record
	pending map[schemas.ClientMessageID]*pendingSend
}

// pendingSend is a send without an answer. It holds a slot of the connection.
type pendingSend struct {
	message *schemas.Message // as it will be stored, except its id and what follows from the id
	hash    schemas.ContentHash
	repeats int // how often the client retried it meanwhile
	started time.Time
	release func() // releases the room of a large send; nil for others
}

// applyRecord gives the message the id and times of its send record. It reports whether the
// message has expired since.
func (p *pendingSend) applyRecord(rec schemas.SendRecord) (expired bool) {
	m := p.message
	m.MessageID, m.Timestamp, m.ExpiresAt = rec.MessageID, rec.MessageID.Time(), rec.ExpiresAt
	return m.Expired(schemas.Now())
}

// lookupTimeout bounds what a send reads before it is committed.
const lookupTimeout = 5 * time.Second

func newSender(s *session, d schemas.Device, newest schemas.ClientMessageID) *sender {
	return &sender{session: s, registered: d.CreatedAt, limiter: limit.New(s.server.opts.Limits.SendsPerSecond), newest: newest,
		pending: make(map[schemas.ClientMessageID]*pendingSend)}
}

// device is the part of the device's record that decides whether it is revoked.
func (s *sender) device() schemas.Device {
	return schemas.Device{DeviceID: s.addr.Device, CreatedAt: s.registered}
}

// send is the verbs send_message and update_message. It runs on the reader, so the sends of a
// device stay in order. If max_outstanding_sends have no answer, send waits, and with it all
// later frames of the client.
func (s *sender) send(f schemas.Send) {
	m := f.Draft()
	m.SenderID, m.SenderDeviceID = s.addr.User, s.addr.Device
	if wait := limit.Wait(s.limiter); wait > 0 {
		s.conn.sendError(&schemas.Error{Code: schemas.CodeRateLimited, RetryAfterMS: max(wait.Milliseconds(), 1),
			Message: "You send too fast. Send the same message_id_by_client again later."}, m.MessageIDByClient)
		return
	}
	hash := m.Hash()
	if s.repeated(m.MessageIDByClient, hash) {
		return
	}
	select {
	case s.conn.slots <- struct{}{}:
	case <-s.conn.ctx.Done():
		return
	}
	p := &pendingSend{message: &m, hash: hash, started: time.Now()}
	s.mu.Lock()
	s.pending[m.MessageIDByClient] = p
	isNew := m.MessageIDByClient > s.newest
	s.mu.Unlock()

	ctx, cancel := context.WithTimeout(s.conn.ctx, lookupTimeout)
	defer cancel()
	to, err := s.targets(ctx, &m)
	if err == nil {
		err = s.mayUpdate(ctx, &m)
	}
	if err == nil {
		to, err = s.reserve(p, to)
	}
	if err != nil {
		s.refuse(p, err)
		return
	}
	if isNew {
		s.recordSend(p, to)
		return
	}
	afterRoom, cancel := context.WithTimeout(s.conn.ctx, lookupTimeout) // reserve may have waited for longer than that
	defer cancel()
	s.retry(afterRoom, p, to)
}

// repeated handles a number that is pending on this connection: the same content gets one more
// answer, another content is a conflict.
func (s *sender) repeated(number schemas.ClientMessageID, hash schemas.ContentHash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.pending[number]
	if !ok {
		return false
	}
	if p.hash == hash {
		p.repeats++
	} else {
		s.conn.sendError(conflict(), number)
	}
	return true
}

func conflict() *schemas.Error {
	return schemas.Errorf(schemas.CodeConflict, "message_id_by_client: another message has this number. Use the next number.")
}

// recordSend commits the send record of a new send, and then its copies.
func (s *sender) recordSend(p *pendingSend, t targets) {
	rec := schemas.SendRecord{MessageIDByClient: p.message.MessageIDByClient,
		MessageID: s.server.signer.Sign(s.addr.User, p.message.To()), ContentHash: p.hash}
	if p.message.Change != schemas.ChangeDelete { // which has no content, and whose target may expire later
		rec.ExpiresAt = schemas.ExpiresAt(rec.MessageID.Time(), t.days)
	}
	if e := p.message.TooLate(rec.MessageID); e != nil {
		s.refuse(p, e)
		return
	}
	if t.blocked {
		rec.BlockedBy = p.message.ReceiverID
	}
	s.mu.Lock()
	if s.newest > rec.MessageIDByClient {
		rec.Highest = s.newest
	}
	s.newest = max(s.newest, rec.MessageIDByClient)
	s.mu.Unlock()
	err := s.server.streams.SendLog().Record(s.addr, rec, func(o publisher.Outcome) {
		switch {
		case o.Err != nil:
			s.refuse(p, o.Err)
		case o.Duplicate:
			// Another connection of this device was faster: a retry after all.
			s.background(p, func(ctx context.Context) { s.retry(ctx, p, t) })
		default:
			s.commit(p, rec, t)
		}
	})
	if err != nil {
		s.refuse(p, err)
	}
}

// background runs do in a goroutine of the connection, at most one for each slot. If the
// connection ends, it refuses the send.
func (s *sender) background(p *pendingSend, do func(context.Context)) {
	s.conn.mu.Lock()
	if s.conn.closing {
		s.conn.mu.Unlock()
		s.refuse(p, errHungUp)
		return
	}
	s.conn.wg.Add(1)
	s.conn.mu.Unlock()
	go func() {
		defer s.conn.wg.Done()
		ctx, cancel := context.WithTimeout(s.conn.ctx, lookupTimeout)
		defer cancel()
		do(ctx)
	}()
}

// commit commits the copies of a message whose send is on record, unless it expired since. It
// publishes each copy when it is stored, and answers when all are. A slow partition does not
// delay the copies of others, because a later message would overtake them there.
func (s *sender) commit(p *pendingSend, rec schemas.SendRecord, t targets) {
	m := p.message
	if p.applyRecord(rec) {
		s.accept(p, m)
		return
	}
	if t.channel {
		s.commitChannel(p, channel.Send{Message: m}, t)
		return
	}
	entry := m.StoredMessage()
	copies := streams.Copies{Message: m, Entry: entry, To: t.to, Log: t.keeps(m) || s.server.opts.Events, Keep: t.keeps(m)}
	copies.Stored = func(i int, sequence uint64) { s.server.streams.Bus().PublishEntry(t.to[i], sequence, entry) }
	var full fullInboxes
	copies.Full = func(i int) { full.add(t.to[i]) }
	s.server.streams.CommitCopies(copies, func(_ []uint64, err error) {
		if errors.Is(err, publisher.ErrInboxFull) && !t.withoutFull {
			s.background(p, func(ctx context.Context) { s.commitWithoutFull(ctx, p, rec, t, full.all) })
			return
		}
		if err != nil {
			s.refuse(p, err)
			return
		}
		if len(t.unclaimed) > 0 {
			s.background(p, func(ctx context.Context) { s.commitToClaimed(ctx, p, rec, t.unclaimed) })
			return
		}
		s.acceptAfterErase(p, m)
	})
}

// commitToClaimed commits the copies that a first device did not get: it registered meanwhile,
// and claimed the inbox of its user before the copy was in it.
func (s *sender) commitToClaimed(ctx context.Context, p *pendingSend, rec schemas.SendRecord, unclaimed []schemas.UserID) {
	to, err := s.server.directory.Claimed(ctx, unclaimed)
	if err != nil {
		s.refuse(p, err)
		return
	}
	s.commit(p, rec, targets{to: to})
}

// acceptAfterErase accepts a message that is durable for every device. It first erases the target of a
// deletion for everyone from its channel, also if the group is not a channel any more.
func (s *sender) acceptAfterErase(p *pendingSend, m *schemas.Message) {
	if m.GroupID == "" || m.Change != schemas.ChangeDelete {
		s.accept(p, m)
		return
	}
	s.background(p, func(ctx context.Context) {
		some, err := s.server.streams.Channels().Any(ctx, 0)
		if err == nil && some {
			err = s.server.streams.Channels().Erase(ctx, m.GroupID, m.TargetMessageID)
		}
		if err != nil {
			s.refuse(p, err)
			return
		}
		s.accept(p, m)
	})
}

// accept answers that the message is durable for every device.
func (s *sender) accept(p *pendingSend, m *schemas.Message) {
	s.server.accepted.add(s.addr, m.MessageIDByClient)
	s.server.metrics.accepted.Inc()
	s.server.metrics.acceptSeconds.Observe(time.Since(p.started).Seconds())
	s.reply(p, schemas.EncodeFrame(&schemas.MessageReceived{
		MessageID: m.MessageID, MessageIDByClient: m.MessageIDByClient, Timestamp: m.Timestamp, ExpiresAt: m.ExpiresAt}))
}

// refuse answers why the message was not accepted. The client may retry the same number.
func (s *sender) refuse(p *pendingSend, err error) {
	var told *schemas.Error
	switch {
	case errors.As(err, &told):
	case errors.Is(err, publisher.ErrInboxFull):
		told = &schemas.Error{Code: schemas.CodeInboxFull, RetryAfterMS: 60_000,
			Message: "A recipient's inbox is full. Retry the same message_id_by_client later."}
	default:
		told = schemas.Unavailable(err)
		if s.conn.causes(err) {
			break // the client is gone
		}
		s.server.metrics.unavailable.Inc()
		s.server.refusals.add(err)
	}
	s.server.metrics.errors.WithLabelValues(string(told.Code)).Inc()
	s.reply(p, schemas.EncodeFrame(&schemas.ErrorFrame{Code: told.Code, Message: told.Message,
		MessageIDByClient: p.message.MessageIDByClient, RetryAfterMS: told.RetryAfterMS}))
}

// reply answers a send as often as the client sent it, and frees its slot.
func (s *sender) reply(p *pendingSend, answer []byte) {
	s.mu.Lock()
	delete(s.pending, p.message.MessageIDByClient)
	times := 1 + p.repeats
	s.mu.Unlock()
	for range times {
		s.conn.send(answer)
	}
	if p.release != nil {
		p.release()
	}
	<-s.conn.slots
}
