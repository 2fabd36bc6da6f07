package mongo

import (
	"time"

	"roost/schemas"
)

// retention is how long a message stays.
const retention = schemas.HistoryDays * 24 * time.Hour

// document is a message as MongoDB has it.
type document struct {
	MessageID         schemas.MessageID       `bson:"_id"`
	Chat              schemas.ChatID          `bson:"chat"`
	SenderID          schemas.UserID          `bson:"sender_id"`
	ReceiverID        schemas.UserID          `bson:"receiver_id,omitempty"`
	GroupID           schemas.GroupID         `bson:"group_id,omitempty"`
	Content           string                  `bson:"content"`
	Timestamp         schemas.Timestamp       `bson:"timestamp"` // a long, as on the wire
	ReplyTo           schemas.MessageID       `bson:"reply_to,omitempty"`
	SenderDeviceID    schemas.DeviceID        `bson:"sender_device_id,omitempty"`
	MessageIDByClient schemas.ClientMessageID `bson:"message_id_by_client,omitempty"`
	ExpiresAt         time.Time               `bson:"expires_at"` // a date, because a TTL index looks at nothing else
}

func newDocument(m *schemas.Message) document {
	return document{
		MessageID: m.MessageID, Chat: m.Chat(), SenderID: m.SenderID, ReceiverID: m.ReceiverID, GroupID: m.GroupID,
		Content: m.Content, Timestamp: m.Timestamp, ReplyTo: m.ReplyTo,
		SenderDeviceID: m.SenderDeviceID, MessageIDByClient: m.MessageIDByClient,
		ExpiresAt: m.Timestamp.Time().Add(retention),
	}
}

func (d *document) message() schemas.Message {
	return schemas.Message{
		MessageID: d.MessageID, SenderID: d.SenderID, ReceiverID: d.ReceiverID, GroupID: d.GroupID,
		Content: d.Content, Timestamp: d.Timestamp, ReplyTo: d.ReplyTo,
		SenderDeviceID: d.SenderDeviceID, MessageIDByClient: d.MessageIDByClient,
	}
}
