package schemas_test

import (
	"testing"

	"roost/schemas"
)

// TestAllocations: functions that run for every message allocate only their result.
func TestAllocations(t *testing.T) {
	m := benchMessage(chatText)
	entry, data := m.StoredMessage(), m.Encode()
	frame := make([]byte, 0, 1024)
	sent, mark := schemas.Encode(benchRecord), schemas.Watermark{DeliveredUpTo: second}
	receipt := schemas.Encode(mark)
	tests := []struct {
		name string
		most float64
		do   func()
	}{
		{"Hash", 1, func() { m.Hash() }},
		{"StoredMessage", 1, func() { m.StoredMessage() }},
		{"Message.Encode", 1, func() { m.Encode() }},
		{"AppendCursor", 0, func() { schemas.AppendCursor(frame, entry, cursor) }},
		{"DecodeEntryHead: two ids", 2, func() { _, _ = schemas.DecodeEntryHead(entry) }},
		{"DecodeMessage: five texts", 5, func() { _, _ = schemas.DecodeMessage(data) }},
		{"Encode of a SendRecord: itself as a value", 2, func() { schemas.Encode(benchRecord) }},
		{"Decode of a SendRecord: itself, two texts, the scanner", 4, func() { _, _ = schemas.Decode[schemas.SendRecord](sent) }},
		{"Encode of a Watermark: itself as a value", 2, func() { schemas.Encode(mark) }},
		{"Decode of a Watermark: itself, a text, the scanner", 3, func() { _, _ = schemas.Decode[schemas.Watermark](receipt) }},
		{"ParseMessageID", 0, func() { _, _ = schemas.ParseMessageID(string(second)) }},
		{"MessageID.Time", 0, func() { _ = second.Time() }},
		{"Token", 0, func() { _ = schemas.UserID("alice").Token() }},
	}
	for _, tt := range tests {
		if n := testing.AllocsPerRun(100, tt.do); n > tt.most {
			t.Errorf("%s: %v allocations, at most %v", tt.name, n, tt.most)
		}
	}
}

// TestFrameAllocations: decoding allocates the frame and each of its texts.
func TestFrameAllocations(t *testing.T) {
	most := map[string]float64{"send_message": 3, "send_message_long": 3, "send_message_escapes": 3,
		"message_delivered": 2, "ack": 2, "heartbeat": 0}
	for _, c := range benchClient {
		if n := testing.AllocsPerRun(100, func() { _, _, _ = schemas.DecodeClientFrame(c.data) }); n > most[c.name] {
			t.Errorf("DecodeClientFrame of %s: %v allocations, at most %v", c.name, n, most[c.name])
		}
	}
	most = map[string]float64{"message_received": 2, "message_delivered": 3, "incoming_message": 7}
	for _, s := range benchServer {
		if n := testing.AllocsPerRun(100, func() { schemas.EncodeFrame(s.frame) }); n > 1 {
			t.Errorf("EncodeFrame of %s: %v allocations, at most 1", s.name, n)
		}
		data := schemas.EncodeFrame(s.frame)
		if n := testing.AllocsPerRun(100, func() { _, _ = schemas.DecodeServerFrame(data) }); n > most[s.name] {
			t.Errorf("DecodeServerFrame of %s: %v allocations, at most %v", s.name, n, most[s.name])
		}
	}
}
