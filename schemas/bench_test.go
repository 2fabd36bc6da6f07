package schemas_test

import (
	"strings"
	"testing"

	"roost/schemas"
)

// The lengths of content: a usual message, and the longest one with three bytes per character.
var (
	chatText = strings.Repeat("See you at eight. ", 6)
	longText = strings.Repeat("你好", schemas.MaxContentRunes/2)
)

func benchSend(content string) *schemas.SendMessage {
	return &schemas.SendMessage{ReceiverID: "bob", Content: content, MessageIDByClient: 17, Timestamp: now}
}

func benchMessage(content string) *schemas.Message {
	return &schemas.Message{MessageID: second, SenderID: "alice", ReceiverID: "bob", Content: content,
		Timestamp: now, SenderDeviceID: device, MessageIDByClient: 17}
}

var benchRecord = schemas.SendRecord{MessageIDByClient: 17, MessageID: second, ContentHash: benchMessage(chatText).Hash()}

// The frames of a client, by name.
var benchClient = []struct {
	name string
	data []byte
}{
	{"send_message", schemas.EncodeFrame(benchSend(chatText))},
	{"send_message_long", schemas.EncodeFrame(benchSend(longText))},
	{"send_message_escapes", schemas.EncodeFrame(benchSend("\"Eight?\"\n\"At eight.\"\n\u2028" + chatText))},
	{"message_delivered", schemas.EncodeFrame(&schemas.DeliveredAck{MessageID: second, Timestamp: now})},
	{"ack", schemas.EncodeFrame(&schemas.Ack{Cursor: "ATk3jQf-AwECAQ"})},
	{"heartbeat", schemas.EncodeFrame(&schemas.Heartbeat{})},
}

// The frames of the server, by name.
var benchServer = []struct {
	name  string
	frame schemas.ServerFrame
}{
	{"message_received", &schemas.MessageReceived{MessageID: second, MessageIDByClient: 17, Timestamp: now}},
	{"message_delivered", &schemas.Delivered{MessageID: second, UserID: "bob", Timestamp: now}},
	{"incoming_message", &schemas.Incoming{Message: *benchMessage(chatText), Cursor: "ATk3jQf-AwECAQ"}},
}

func BenchmarkDecodeClientFrame(b *testing.B) {
	for _, bb := range benchClient {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, e := schemas.DecodeClientFrame(bb.data); e != nil {
					b.Fatal(e)
				}
			}
		})
	}
}

func BenchmarkEncodeFrame(b *testing.B) {
	for _, bb := range benchServer {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				schemas.EncodeFrame(bb.frame)
			}
		})
	}
	send := benchSend(chatText)
	b.Run("send_message", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			schemas.EncodeFrame(send)
		}
	})
}

func BenchmarkDecodeServerFrame(b *testing.B) {
	for _, bb := range benchServer {
		data := schemas.EncodeFrame(bb.frame)
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := schemas.DecodeServerFrame(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMessage(b *testing.B) {
	for name, content := range map[string]string{"chat": chatText, "long": longText} {
		m := benchMessage(content)
		entry, data := m.StoredMessage(), m.Encode()
		b.Run("StoredMessage/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.StoredMessage()
			}
		})
		b.Run("Encode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Encode()
			}
		})
		b.Run("Decode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := schemas.DecodeMessage(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("DecodeEntryHead/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := schemas.DecodeEntryHead(entry); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendCursor(b *testing.B) {
	entry := benchMessage(chatText).StoredMessage()
	dst := make([]byte, 0, len(entry)+64)
	b.ReportAllocs()
	for b.Loop() {
		schemas.AppendCursor(dst, entry, "ATk3jQf-AwECAQ")
	}
}

func BenchmarkHash(b *testing.B) {
	for name, content := range map[string]string{"chat": chatText, "long": longText} {
		m := benchMessage(content)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Hash()
			}
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	mark := schemas.Watermark{DeliveredUpTo: second}
	sent, receipt := schemas.Encode(benchRecord), schemas.Encode(mark)
	b.Run("Encode/send_record", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			schemas.Encode(benchRecord)
		}
	})
	b.Run("Decode/send_record", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := schemas.Decode[schemas.SendRecord](sent); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Encode/watermark", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			schemas.Encode(mark)
		}
	})
	b.Run("Decode/watermark", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := schemas.Decode[schemas.Watermark](receipt); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkID(b *testing.B) {
	b.Run("ParseMessageID", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := schemas.ParseMessageID(string(second)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ParseUserID", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := schemas.ParseUserID("carol@example.org"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Time", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = second.Time()
		}
	})
	b.Run("Token", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = schemas.UserID("alice_of-wonderland").Token()
		}
	})
	b.Run("Now", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = schemas.Now()
		}
	})
}
