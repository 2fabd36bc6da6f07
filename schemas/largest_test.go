package schemas_test

import (
	"strings"
	"testing"

	"roost/schemas"
)

// TestServerFramesFitClients: no frame of the server exceeds the size that the protocol asks
// clients to accept.
func TestServerFramesFitClients(t *testing.T) {
	const most = 64 << 10
	const cursorBytes = 8 << 10
	user := schemas.UserID(strings.Repeat(`"`, 128)) // two bytes each, in JSON
	id := schemas.MessageID(ulid)
	items := make([]schemas.ReceiptItem, schemas.MaxReceiptItems)
	for i := range items {
		items[i] = schemas.ReceiptItem{Chat: string(user), UserID: user, DeliveredUpTo: id, ReadUpTo: id}
	}
	content := strings.Repeat("\x00", schemas.MaxContentRunes) // six bytes each
	cursor := schemas.Cursor(strings.Repeat("A", cursorBytes))
	for _, f := range []schemas.ServerFrame{
		&schemas.Receipts{Items: items},
		&schemas.Incoming{Message: schemas.Message{MessageID: id, SenderID: user, ReceiverID: user, Content: content, Timestamp: 1 << 62,
			SenderDeviceID: ulid, MessageIDByClient: 1 << 62, ReplyTo: id}, Cursor: cursor},
		&schemas.GroupUpdate{GroupChange: schemas.GroupChange{MessageID: id, GroupID: "g-" + ulid, ByUserID: user, UserID: user,
			GroupName: strings.Repeat("\x00", schemas.MaxGroupNameBytes)}, Cursor: cursor},
	} {
		if n := len(schemas.EncodeFrame(f)); n > most {
			t.Errorf("%s has %d bytes", f.Type(), n)
		}
	}
}
