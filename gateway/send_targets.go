package gateway

import (
	"context"
	"slices"
	"time"

	"roost/schemas"
	"roost/streams/directory"
	"roost/streams/subject"
)

// largeSend is how many copies a send has that asks for room before it is
// committed: many of them together would fill what a stream lets wait.
const largeSend = 64

// roomTimeout bounds how long a large send waits for room, and with it the client,
// whose socket is not read meanwhile.
const roomTimeout = 10 * time.Second

// mayUpdate returns an error if a message changes the message of another user, or one that does
// not exist yet. The id of the target proves whose it is. A message of a previous owner of the
// name is of another user. recordSend checks that the update is in time: a retry is later.
func (s *sender) mayUpdate(ctx context.Context, m *schemas.Message) error {
	if m.IsUpdate() && s.server.streams.Clock().InFuture(m.TargetMessageID) {
		return schemas.InvalidField("target_message_id", "is in the future.")
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

// targets are the devices that a message is for, and whether history keeps it.
type targets struct {
	to          []subject.Address
	unclaimed   []schemas.UserID // receivers without a device
	keep        bool
	senderKeeps bool
	blocked     bool           // by the receiver
	days        int            // after which the message expires; 0 is never
	group       *schemas.Group // nil for a message to one user
	channel     bool           // members pull the message
	withoutFull bool           // full inboxes are left out already
}

// keeps reports whether history workers get the message: if a user keeps it, and always for a
// deletion for everyone, because history may have the message of a user who left the group or
// blocks the sender.
func (t *targets) keeps(m *schemas.Message) bool { return t.keep || m.Change == schemas.ChangeDelete }

// withhold removes the receiver's devices: the receiver had blocked the sender when the message
// was sent.
func (t *targets) withhold(receiver schemas.UserID) {
	t.to = slices.DeleteFunc(t.to, func(a subject.Address) bool { return a.User == receiver })
	t.blocked, t.unclaimed, t.keep = true, nil, t.senderKeeps
}

func (s *sender) targets(ctx context.Context, m *schemas.Message) (targets, error) {
	if err := s.server.opts.Refuse(); err != nil {
		return targets{}, schemas.Unavailable(err)
	}
	if err := s.server.streams.Admission().Admit(ctx); err != nil {
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
	if !mine && sender.RevokedSince(s.device()) {
		s.conn.closeRemoved()
		return targets{}, errRemoved()
	}
	if m.ReceiverID == s.addr.User {
		return t, nil // a note to self
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

// reserve waits for room if the send is large. After a wait it reads the targets again.
func (s *sender) reserve(p *pendingSend, t targets) (targets, error) {
	if len(t.to) < largeSend {
		return t, nil
	}
	var ok bool
	if p.release, ok = s.server.streams.TryReserve(len(t.to)); ok {
		return t, nil
	}
	ctx, cancel := context.WithTimeout(s.conn.ctx, roomTimeout)
	defer cancel()
	release, err := s.server.streams.Reserve(ctx, len(t.to))
	if err != nil {
		return t, schemas.Unavailable(err)
	}
	p.release = release
	return s.targets(ctx, p.message)
}
