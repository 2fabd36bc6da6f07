package gateway

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"roost/gateway/limit"
	"roost/schemas"
	"roost/streams"
	"roost/streams/channel"
	"roost/streams/directory"
	"roost/streams/publisher"
	"roost/streams/sendlog"
	"roost/streams/subject"
)

// sending is what a session knows of its device's sends.
type sending struct {
	limiter *rate.Limiter

	mu      sync.Mutex              // guards the rest
	newest  schemas.ClientMessageID // no larger number is on record
	pending map[schemas.ClientMessageID]*pendingSend
}

// pendingSend is a send without an answer; it holds a slot of the connection.
type pendingSend struct {
	message *schemas.Message // as it will be stored, but for its id and what follows from that
	hash    schemas.ContentHash
	repeats int // how often the client sent it again meanwhile
	started time.Time
	release func() // gives back the room of a large send; nil where it has none
}

// recorded gives the message what its record says; true where it has disappeared since.
func (p *pendingSend) recorded(rec schemas.SentRecord) (gone bool) {
	m := p.message
	m.MessageID, m.Timestamp, m.ExpiresAt = rec.MessageID, rec.MessageID.Time(), rec.ExpiresAt
	return m.Expired(schemas.Now())
}

// lookupTimeout bounds what a send reads before it is committed.
const lookupTimeout = 5 * time.Second

func newSending(s *session, newest schemas.ClientMessageID) *sending {
	return &sending{limiter: limit.New(s.server.opts.Limits.SendsPerSecond), newest: newest,
		pending: make(map[schemas.ClientMessageID]*pendingSend)}
}

// sendMessage is the verbs send_message and update_message. It runs on the reader, so
// sends of a device are taken in order; with max_outstanding_sends without an answer
// it waits, and the client's next frames with it.
func (s *session) sendMessage(f schemas.Send) {
	m := f.Draft()
	m.SenderID, m.SenderDeviceID = s.addr.User, s.addr.Device
	if wait := limit.Wait(s.sending.limiter); wait > 0 {
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
	s.sending.mu.Lock()
	s.sending.pending[m.MessageIDByClient] = p
	isNew := m.MessageIDByClient > s.sending.newest
	s.sending.mu.Unlock()

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
	s.retry(ctx, p, to)
}

// repeated deals with a number that is under way on this connection: the same
// content gets one more answer, another is a conflict.
func (s *session) repeated(number schemas.ClientMessageID, hash schemas.ContentHash) bool {
	s.sending.mu.Lock()
	defer s.sending.mu.Unlock()
	p, ok := s.sending.pending[number]
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
	return schemas.Errorf(schemas.CodeConflict, "message_id_by_client: is taken by a message with another content. Use the next number.")
}

// mayUpdate says whether a message is none that changes somebody else's, which its id
// tells, or one that is not there yet. What was sent by somebody who had the name before is
// somebody else's. That it comes in time, recordSend looks at: a retry comes later.
func (s *session) mayUpdate(ctx context.Context, m *schemas.Message) error {
	if m.IsUpdate() && s.server.streams.Clock().InFuture(m.TargetMessageID) {
		return schemas.InvalidField("target_message_id", "is of the future.")
	}
	if m.Change.Window() == 0 {
		return nil
	}
	if s.server.signer.Verify(m.TargetMessageID, s.addr.User, m.To()) {
		me, err := s.server.directory.Registration(ctx, s.addr.User)
		if err != nil {
			return schemas.Unavailable(err)
		}
		if !me.PredatesAccount(m.TargetMessageID) {
			return nil
		}
	}
	return schemas.Errorf(schemas.CodeForbidden, "target_message_id: is no message of yours in that chat. Nothing was changed.")
}

// targets are the devices that a message is for, and whether it is kept.
type targets struct {
	to          []subject.Address
	unclaimed   []schemas.UserID // receivers without a device
	keep        bool
	senderKeeps bool
	blocked     bool           // by the receiver
	days        int            // after which the message disappears; 0 is never
	group       *schemas.Group // nil for the message to one person
	channel     bool           // the members of group pull
	spared      bool           // full inboxes were left out
}

// keeps says whether history workers get the message: where somebody keeps it, and what
// is deleted for everyone in any case, for history may have it of somebody who left the
// group, or blocks the sender.
func (t *targets) keeps(m *schemas.Message) bool { return t.keep || m.Change == schemas.ChangeDelete }

// withhold leaves the sender's other devices alone: the receiver had blocked the
// sender when the message was sent.
func (t *targets) withhold(receiver schemas.UserID) {
	t.to = slices.DeleteFunc(t.to, func(a subject.Address) bool { return a.User == receiver })
	t.blocked, t.unclaimed, t.keep = true, nil, t.senderKeeps
}

func (s *session) targets(ctx context.Context, m *schemas.Message) (targets, error) {
	if err := s.server.opts.Refuse(); err != nil {
		return targets{}, schemas.Unavailable(err)
	}
	if err := s.server.consumers.Admit(ctx); err != nil {
		return targets{}, schemas.Unavailable(err)
	}
	if m.GroupID != "" {
		return s.groupTargets(ctx, m.GroupID)
	}
	sender, err := s.server.directory.User(ctx, s.addr.User)
	if err != nil {
		return targets{}, schemas.Unavailable(err)
	}
	receiver := sender
	if m.ReceiverID != s.addr.User {
		if receiver, err = s.server.directory.User(ctx, m.ReceiverID); err != nil {
			return targets{}, schemas.Unavailable(err)
		}
	}
	if !receiver.Exists {
		return targets{}, schemas.Errorf(schemas.CodeUnknownReceiver, "receiver_id: there is no such user. Nothing was stored.")
	}
	t := targets{senderKeeps: sender.Settings.KeepsHistory()}
	t.keep = t.senderKeeps || receiver.Settings.KeepsHistory()
	t.days = schemas.DisappearingIn(s.addr.User, sender.Settings, m.ReceiverID, receiver.Settings)
	mine := false
	for _, d := range sender.Devices {
		if d.DeviceID == s.addr.Device {
			mine = true
		} else {
			t.to = append(t.to, subject.Address{User: s.addr.User, Device: d.DeviceID})
		}
	}
	if !mine && sender.RevokedSince(s.conn.registeredDevice()) {
		s.conn.closeRemoved()
		return targets{}, errRemoved()
	}
	if m.ReceiverID == s.addr.User {
		return t, nil // a note to oneself
	}
	if receiver.Blocks(s.addr.User) {
		t.withhold(m.ReceiverID)
		return t, nil
	}
	if len(receiver.Devices) == 0 {
		t.unclaimed = []schemas.UserID{m.ReceiverID}
	}
	t.to = directory.AppendInboxes(t.to, m.ReceiverID, receiver)
	return t, nil
}

// recordSend commits the record of a new send, and then its copies.
func (s *session) recordSend(p *pendingSend, t targets) {
	rec := schemas.SentRecord{MessageIDByClient: p.message.MessageIDByClient,
		MessageID: s.server.signer.Sign(s.addr.User, p.message.To()), ContentHash: p.hash}
	if p.message.Change != schemas.ChangeDelete { // which has no content, and whose message may have more time
		rec.ExpiresAt = schemas.ExpiresAt(rec.MessageID.Time(), t.days)
	}
	if e := p.message.TooLate(rec.MessageID); e != nil {
		s.refuse(p, e)
		return
	}
	if t.blocked {
		rec.BlockedBy = p.message.ReceiverID
	}
	s.sending.mu.Lock()
	if s.sending.newest > rec.MessageIDByClient {
		rec.Highest = s.sending.newest
	}
	s.sending.newest = max(s.sending.newest, rec.MessageIDByClient)
	s.sending.mu.Unlock()
	err := s.server.streams.SendLog().Record(s.addr, rec, func(o publisher.Outcome) {
		switch {
		case o.Err != nil:
			s.refuse(p, o.Err)
		case o.Duplicate:
			// Another connection of this device was faster: a retry after all.
			s.later(p, func(ctx context.Context) { s.retry(ctx, p, t) })
		default:
			s.commit(p, rec, t)
		}
	})
	if err != nil {
		s.refuse(p, err)
	}
}

// later runs do in a goroutine of the connection; at most one for each slot.
func (s *session) later(p *pendingSend, do func(context.Context)) {
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

// retry answers a number that may be on record: the first message id again for
// the same content, after the copies that are missing have been committed.
func (s *session) retry(ctx context.Context, p *pendingSend, t targets) {
	rec, found, err := s.server.streams.SendLog().Find(ctx, s.addr, p.message.MessageIDByClient)
	switch {
	case errors.Is(err, sendlog.ErrForgotten):
		s.refuse(p, schemas.Errorf(schemas.CodeConflict,
			"message_id_by_client: is older than the last %d sends of this device. Use the next number.", schemas.MaxOutstanding))
		return
	case err != nil:
		s.refuse(p, err)
		return
	case !found:
		// Another connection of this device, replaced since, may have gone further.
		s.sending.mu.Lock()
		s.sending.newest = max(s.sending.newest, rec.Highest)
		s.sending.mu.Unlock()
		s.recordSend(p, t)
		return
	case rec.ContentHash != p.hash:
		s.refuse(p, conflict())
		return
	}
	s.server.metrics.retries.Inc()
	if s.server.accepted.has(s.addr, rec.MessageIDByClient) {
		p.recorded(rec)
		s.accept(p, p.message)
		return
	}
	t = t.sentBy(s.addr.User, rec.MessageID)
	if rec.BlockedBy != "" { // perhaps unblocked meanwhile
		t.withhold(rec.BlockedBy)
	}
	if t.channel {
		s.retryChannel(ctx, p, rec, t)
		return
	}
	if t.to, err = s.missing(ctx, rec.MessageID, t); err != nil {
		s.refuse(p, err)
		return
	}
	s.commit(p, rec, t)
}

// missing are the targets that do not hold the message now.
func (s *session) missing(ctx context.Context, id schemas.MessageID, t targets) ([]subject.Address, error) {
	if t.group != nil { // many, perhaps
		return s.server.streams.Missing(ctx, id, id.Time().Time(), t.to)
	}
	missing := make([]subject.Address, 0, len(t.to))
	for _, a := range t.to {
		held, err := s.server.streams.Holds(ctx, a, id)
		if err != nil {
			return nil, err
		}
		if !held {
			missing = append(missing, a)
		}
	}
	return missing, nil
}

// commit commits the copies of a message whose send is on record, unless it has
// disappeared since, shows each to its device when it is stored, and answers when all
// are. A partition that takes longer does not hold up what is shown in others, or a
// next message would overtake it there.
func (s *session) commit(p *pendingSend, rec schemas.SentRecord, t targets) {
	m := p.message
	if p.recorded(rec) {
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
		if errors.Is(err, publisher.ErrInboxFull) && !t.spared {
			s.later(p, func(ctx context.Context) { s.spare(ctx, p, rec, t, full.all) })
			return
		}
		if err != nil {
			s.refuse(p, err)
			return
		}
		if len(t.unclaimed) > 0 {
			s.later(p, func(ctx context.Context) { s.recheck(ctx, p, rec, t.unclaimed) })
			return
		}
		s.finish(p, m)
	})
}

// recheck looks, after copies went to the inboxes of users without a device,
// whether the first device came meanwhile and claimed before that copy was there.
func (s *session) recheck(ctx context.Context, p *pendingSend, rec schemas.SentRecord, unclaimed []schemas.UserID) {
	to, err := s.server.directory.Claimed(ctx, unclaimed)
	if err != nil {
		s.refuse(p, err)
		return
	}
	s.commit(p, rec, targets{to: to})
}

// accept tells the client that its message is durable everywhere.
func (s *session) accept(p *pendingSend, m *schemas.Message) {
	s.server.accepted.add(s.addr, m.MessageIDByClient)
	s.server.metrics.accepted.Inc()
	s.server.metrics.acceptSeconds.Observe(time.Since(p.started).Seconds())
	s.settle(p, schemas.EncodeFrame(&schemas.MessageReceived{
		MessageID: m.MessageID, MessageIDByClient: m.MessageIDByClient, Timestamp: m.Timestamp, ExpiresAt: m.ExpiresAt}))
}

// refuse tells the client why its message was not accepted. Whatever the cause,
// the same number may be sent again.
func (s *session) refuse(p *pendingSend, err error) {
	var told *schemas.Error
	switch {
	case errors.As(err, &told):
	case errors.Is(err, publisher.ErrInboxFull):
		told = &schemas.Error{Code: schemas.CodeInboxFull, RetryAfterMS: 60_000,
			Message: "A device that shall get this message holds all it may. Send the same message_id_by_client again later."}
	default:
		told = schemas.Unavailable(err)
		if s.conn.causes(err) {
			break // nobody waits for the answer
		}
		s.server.metrics.unavailable.Inc()
		s.server.refusals.add(err)
	}
	s.server.metrics.errors.WithLabelValues(string(told.Code)).Inc()
	s.settle(p, schemas.EncodeFrame(&schemas.ErrorFrame{Code: told.Code, Message: told.Message,
		MessageIDByClient: p.message.MessageIDByClient, RetryAfterMS: told.RetryAfterMS}))
}

// settle answers a send as often as it was asked, and frees its slot.
func (s *session) settle(p *pendingSend, answer []byte) {
	s.sending.mu.Lock()
	delete(s.sending.pending, p.message.MessageIDByClient)
	times := 1 + p.repeats
	s.sending.mu.Unlock()
	for range times {
		s.conn.send(answer)
	}
	if p.release != nil {
		p.release()
	}
	<-s.conn.slots
}

// finishSends waits until all sends of the connection are answered. No new one starts
// afterwards.
func (c *conn) finishSends(ctx context.Context) {
	c.finishing.Lock() // another call is as bounded as this one
	defer c.finishing.Unlock()
	if c.finished {
		return
	}
	for range cap(c.slots) {
		select {
		case c.slots <- struct{}{}:
		case <-c.ctx.Done():
			return
		case <-ctx.Done():
			return
		}
	}
	c.finished = true
}
