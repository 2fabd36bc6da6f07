package mongo

import (
	"time"

	"roost/schemas"
)

// document is a message or an update in MongoDB.
type document struct {
	MessageID         schemas.MessageID       `bson:"_id"`
	Chat              schemas.ChatID          `bson:"chat"`
	SenderID          schemas.UserID          `bson:"sender_id"`
	ReceiverID        schemas.UserID          `bson:"receiver_id,omitempty"`
	GroupID           schemas.GroupID         `bson:"group_id,omitempty"`
	Content           string                  `bson:"content"`
	Timestamp         schemas.Timestamp       `bson:"timestamp"` // milliseconds, as in a frame
	ReplyTo           schemas.MessageID       `bson:"reply_to,omitempty"`
	SenderDeviceID    schemas.DeviceID        `bson:"sender_device_id,omitempty"`
	MessageIDByClient schemas.ClientMessageID `bson:"message_id_by_client,omitempty"`
	Change            schemas.MessageChange   `bson:"change,omitempty"`
	TargetMessageID   schemas.MessageID       `bson:"target_message_id,omitempty"`
	DisappearsAt      schemas.Timestamp       `bson:"disappears_at,omitempty"` // the ExpiresAt of a message
	// ExpiresAt is the last millisecond in which history keeps it. An update has that of
	// its target, if the target is known. It is a date, because a TTL index needs one.
	ExpiresAt time.Time `bson:"expires_at"`
}

func newDocument(m *schemas.Message) document {
	d := document{
		MessageID: m.MessageID, Chat: m.Chat(), SenderID: m.SenderID, ReceiverID: m.ReceiverID, GroupID: m.GroupID,
		Content: m.Content, Timestamp: m.Timestamp, ReplyTo: m.ReplyTo,
		SenderDeviceID: m.SenderDeviceID, MessageIDByClient: m.MessageIDByClient,
		Change: m.Change, TargetMessageID: m.TargetMessageID, ExpiresAt: m.KeptUntil().Time(),
	}
	if !m.IsUpdate() {
		d.DisappearsAt = m.ExpiresAt
	}
	return d
}

func (d *document) message() schemas.Message {
	return schemas.Message{
		MessageID: d.MessageID, SenderID: d.SenderID, ReceiverID: d.ReceiverID, GroupID: d.GroupID,
		Content: d.Content, Timestamp: d.Timestamp, ReplyTo: d.ReplyTo,
		SenderDeviceID: d.SenderDeviceID, MessageIDByClient: d.MessageIDByClient,
		Change: d.Change, TargetMessageID: d.TargetMessageID, ExpiresAt: d.DisappearsAt,
	}
}
