package gateway

import (
	"roost/schemas"
)

// sendReadMarks shows how far the user has read on other devices, whoever else may see it.
func (s *session) sendReadMarks(marks []schemas.ReadMark) {
	items := make([]schemas.ReceiptItem, len(marks))
	for i, m := range marks {
		items[i] = schemas.ReceiptItem{Chat: m.Chat, UserID: s.addr.User, ReadUpTo: m.ReadUpTo}
	}
	s.conn.sendFrame(&schemas.Receipts{Items: items})
}
