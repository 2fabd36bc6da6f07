package gateway

import (
	"context"

	"roost/schemas"
	"roost/streams/directory"
	"roost/streams/subject"
)

// messageRead is the verb message_read: the user has read that message and all earlier ones in the
// chat. The user's other devices get a frame, and the sender too, unless one of the two has read
// receipts off or the user blocks the sender.
func (s *session) messageRead(f *schemas.Read) {
	ctx, cancel := context.WithTimeout(s.conn.ctx, lookupTimeout)
	defer cancel()
	var e *schemas.Error
	if f.GroupID != "" {
		e = s.groupRead(ctx, f)
	} else {
		var sender schemas.UserID
		if sender, e = s.senderOf(f); e == nil {
			e = s.directRead(ctx, sender, f.MessageID)
		}
	}
	if e != nil {
		s.conn.sendError(e, 0)
	}
}

// senderOf returns the sender of a message: the frame names it, or this connection delivered the
// message recently. The server keeps no acknowledged messages.
func (s *session) senderOf(f *schemas.Read) (schemas.UserID, *schemas.Error) {
	if s.server.streams.Clock().InFuture(f.MessageID) {
		return "", schemas.InvalidField("message_id", "is in the future; no message has this id yet.")
	}
	if f.SenderID != "" {
		return f.SenderID, nil
	}
	if head, ok := s.inbox.Find(f.MessageID); ok && head.GroupID == "" {
		return head.SenderID, nil
	}
	if s.recent != nil {
		if sender, ok := s.recent.sender(f.MessageID); ok {
			return sender, nil
		}
	}
	return "", schemas.InvalidField("sender_id", "is missing, and this connection did not deliver that message recently. Name the sender.")
}

// directRead records how far the user has read a chat of two, and publishes it.
func (s *session) directRead(ctx context.Context, sender schemas.UserID, id schemas.MessageID) *schemas.Error {
	if sender == s.addr.User {
		return nil // own messages count as read
	}
	me, err := s.server.directory.User(ctx, s.addr.User)
	if err != nil {
		return cannotTell(err)
	}
	from, err := s.server.directory.User(ctx, sender)
	if err != nil {
		return cannotTell(err)
	}
	if !from.Exists {
		return schemas.InvalidField("sender_id", "there is no such user.")
	}
	frame := schemas.EncodeFrame(&schemas.ReadBy{MessageID: id, UserID: s.addr.User, Timestamp: schemas.Now()})
	shows := me.Settings.ReadReceipts && !me.Blocks(sender)
	news, err := s.server.reads.add(ctx, schemas.Participant{User: sender}, s.addr.User, readMark{id, shows})
	if err != nil {
		return cannotTell(err)
	}
	if !news {
		return nil // published a moment ago
	}
	if shows {
		s.server.streams.Bus().PublishRead(s.addr.User, frame)
		if from.Settings.ReadReceipts && !from.PredatesAccount(id) {
			s.show(sender, from, frame)
		}
	}
	s.show(s.addr.User, me, frame)
	return nil
}

// show publishes a frame to all connected devices of a user except this one.
func (s *session) show(u schemas.UserID, person *directory.User, frame []byte) {
	for _, d := range person.Devices {
		if a := (subject.Address{User: u, Device: d.DeviceID}); a != s.addr {
			s.server.streams.Bus().PublishFrame(a, frame)
		}
	}
}

// cannotTell is the answer to a frame that could not be passed on.
func cannotTell(err error) *schemas.Error {
	return &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: 1000, Cause: err,
		Message: "A part of the server does not answer. Retry the frame later."}
}
