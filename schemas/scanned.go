package schemas

// The frames and records that the server reads for every message, each with one switch over
// its members.

// scanned is a frame or record that a [scanner] can read. v.scan(s) sets the remaining
// members in v, which is empty. If s.done() is false after that, v may be incomplete.
type scanned interface{ scan(s *scanner) }

// scanClientFrame decodes a valid frame in the plain form. It returns nil for any other
// input.
func scanClientFrame(data []byte) ClientFrame {
	s := scanner{rest: data}
	var frame ClientFrame
	switch string(s.frameType()) {
	case string(TypeSendMessage):
		f := new(SendMessage)
		f.scan(&s)
		frame = f
	case string(TypeMessageDelivered):
		f := new(DeliveredAck)
		f.scan(&s)
		frame = f
	case string(TypeAck):
		f := new(Ack)
		f.scan(&s)
		frame = f
	case string(TypeHeartbeat):
		frame = new(Heartbeat)
	default:
		return nil
	}
	if !s.done() || frame.validate() != nil {
		return nil
	}
	return frame
}

// scanServerFrame decodes a frame in the plain form. It returns nil for any other input.
func scanServerFrame(data []byte) ServerFrame {
	s := scanner{rest: data}
	var frame ServerFrame
	switch string(s.frameType()) {
	case string(TypeMessageReceived):
		f := new(MessageReceived)
		f.scan(&s)
		frame = f
	case string(TypeIncomingMessage):
		f := new(Incoming)
		f.scan(&s)
		frame = f
	case string(TypeMessageUpdate):
		f := new(MessageUpdate)
		f.scan(&s)
		frame = f
	case string(TypeMessageDelivered):
		f := new(Delivered)
		f.scan(&s)
		frame = f
	default:
		return nil
	}
	if !s.done() {
		return nil
	}
	return frame
}

var (
	_ scanned = (*SendMessage)(nil)
	_ scanned = (*DeliveredAck)(nil)
	_ scanned = (*Ack)(nil)
	_ scanned = (*MessageReceived)(nil)
	_ scanned = (*Delivered)(nil)
	_ scanned = (*Incoming)(nil)
	_ scanned = (*Message)(nil)
	_ scanned = (*EntryHead)(nil)
	_ scanned = (*SendRecord)(nil)
	_ scanned = (*Watermark)(nil)
)

func (f *SendMessage) scan(s *scanner) {
	for s.next() {
		switch string(s.name) {
		case "receiver_id":
			s.text((*string)(&f.ReceiverID))
		case "group_id":
			s.text((*string)(&f.GroupID))
		case "content":
			s.text(&f.Content)
		case "message_id_by_client":
			s.number((*int64)(&f.MessageIDByClient))
		case "timestamp":
			s.number((*int64)(&f.Timestamp))
		case "reply_to":
			s.text((*string)(&f.ReplyTo))
		default:
			s.giveUp()
		}
	}
}

func (f *DeliveredAck) scan(s *scanner) {
	for s.next() {
		switch string(s.name) {
		case "message_id":
			s.text((*string)(&f.MessageID))
		case "timestamp":
			s.number((*int64)(&f.Timestamp))
		default:
			s.giveUp()
		}
	}
}

func (f *Ack) scan(s *scanner) {
	for s.next() {
		switch string(s.name) {
		case "cursor":
			s.text((*string)(&f.Cursor))
		default:
			s.giveUp()
		}
	}
}

func (f *MessageReceived) scan(s *scanner) {
	for s.next() {
		switch string(s.name) {
		case "message_id":
			s.text((*string)(&f.MessageID))
		case "message_id_by_client":
			s.number((*int64)(&f.MessageIDByClient))
		case "timestamp":
			s.number((*int64)(&f.Timestamp))
		case "expires_at":
			s.number((*int64)(&f.ExpiresAt))
		default:
			s.giveUp()
		}
	}
}

func (f *Delivered) scan(s *scanner) {
	for s.next() {
		switch string(s.name) {
		case "message_id":
			s.text((*string)(&f.MessageID))
		case "user_id":
			s.text((*string)(&f.UserID))
		case "group_id":
			s.text((*string)(&f.GroupID))
		case "timestamp":
			s.number((*int64)(&f.Timestamp))
		default:
			s.giveUp()
		}
	}
}

func (f *Incoming) scan(s *scanner) {
	for s.next() {
		switch string(s.name) {
		case "cursor":
			s.text((*string)(&f.Cursor))
		default:
			f.Message.scanMember(s)
		}
	}
}

func (m *Message) scan(s *scanner) {
	for s.next() {
		m.scanMember(s)
	}
}

func (m *Message) scanMember(s *scanner) {
	switch string(s.name) {
	case "message_id":
		s.text((*string)(&m.MessageID))
	case "sender_id":
		s.text((*string)(&m.SenderID))
	case "receiver_id":
		s.text((*string)(&m.ReceiverID))
	case "group_id":
		s.text((*string)(&m.GroupID))
	case "content":
		s.text(&m.Content)
	case "timestamp":
		s.number((*int64)(&m.Timestamp))
	case "reply_to":
		s.text((*string)(&m.ReplyTo))
	case "sender_device_id":
		s.text((*string)(&m.SenderDeviceID))
	case "message_id_by_client":
		s.number((*int64)(&m.MessageIDByClient))
	case "change":
		s.text((*string)(&m.Change))
	case "target_message_id":
		s.text((*string)(&m.TargetMessageID))
	case "expires_at":
		s.number((*int64)(&m.ExpiresAt))
	default:
		s.giveUp()
	}
}

// scan reads the head of a message's entry. It only checks the syntax of the other members.
func (h *EntryHead) scan(s *scanner) {
	switch typ := s.frameType(); {
	case string(s.name) != "type":
		s.giveUp()
		return
	case string(typ) == string(TypeIncomingMessage):
		h.Type = TypeIncomingMessage
	case string(typ) == string(TypeMessageUpdate):
		h.Type = TypeMessageUpdate
	default:
		s.giveUp()
		return
	}
	for s.next() {
		switch string(s.name) {
		case "message_id":
			s.text((*string)(&h.MessageID))
		case "sender_id":
			s.text((*string)(&h.SenderID))
		case "group_id":
			s.text((*string)(&h.GroupID))
		case "receiver_id", "content", "reply_to", "sender_device_id", "change", "target_message_id":
			s.skipText()
		case "expires_at":
			s.number((*int64)(&h.ExpiresAt))
		case "timestamp", "message_id_by_client":
			s.skipNumber()
		default:
			s.giveUp()
		}
	}
}

func (r *SendRecord) scan(s *scanner) {
	for s.next() {
		switch string(s.name) {
		case "message_id_by_client":
			s.number((*int64)(&r.MessageIDByClient))
		case "message_id":
			s.text((*string)(&r.MessageID))
		case "content_hash":
			s.text((*string)(&r.ContentHash))
		case "highest_message_id_by_client":
			s.number((*int64)(&r.Highest))
		case "inbox_from":
			s.number(&r.InboxFrom)
		case "blocked_by":
			s.text((*string)(&r.BlockedBy))
		case "expires_at":
			s.number((*int64)(&r.ExpiresAt))
		default:
			s.giveUp()
		}
	}
}

func (w *Watermark) scan(s *scanner) {
	for s.next() {
		switch string(s.name) {
		case "delivered_up_to":
			s.text((*string)(&w.DeliveredUpTo))
		case "read_up_to":
			s.text((*string)(&w.ReadUpTo))
		default:
			s.giveUp()
		}
	}
}
