package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"

	"roost/schemas"
)

// benchMessages returns n messages of 200 bytes in 200 chats. The first has the number start.
func benchMessages(from schemas.Timestamp, start, n int) []schemas.Message {
	content := fmt.Sprintf("%0200d", start)
	messages := make([]schemas.Message, n)
	for i := range messages {
		at := from + schemas.Timestamp(start+i)
		messages[i] = schemas.Message{
			MessageID: schemas.MessageIDAt(at), SenderID: schemas.UserID(fmt.Sprintf("user%d", i%200)), ReceiverID: "bob", Content: content,
			Timestamp: at, SenderDeviceID: "01K5DEV1CE0000000000000000", MessageIDByClient: schemas.ClientMessageID(start + i + 1),
		}
	}
	return messages
}

func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(filepath.Join(b.TempDir(), "history.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s, from, n := benchStore(b), schemas.Now(), 0
			for b.Loop() {
				if err := s.Append(b.Context(), benchMessages(from, n, size)); err != nil {
					b.Fatal(err)
				}
				n += size
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

func BenchmarkPage(b *testing.B) {
	const total = 200_000
	s, from := benchStore(b), schemas.Now()-total
	if err := s.Append(b.Context(), benchMessages(from, 0, total)); err != nil {
		b.Fatal(err)
	}
	chat := schemas.ChatWith("user7", schemas.Participant{User: "bob"})
	for name, upTo := range map[string]schemas.Timestamp{"newest": from + total, "oldest": from + total/20} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				page, err := s.Page(b.Context(), chat, 0, upTo, schemas.HistoryPageSize)
				if err != nil || len(page) != schemas.HistoryPageSize {
					b.Fatalf("%d messages, error %v", len(page), err)
				}
			}
		})
	}
}
