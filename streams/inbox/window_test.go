package inbox

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roost/schemas"
)

// TestWindow compares the window with a map.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		model := make(map[uint64]bool) // sequence → acknowledged
		seqs := func() []uint64 {
			var all []uint64
			for seq := range model {
				all = append(all, seq)
			}
			slices.Sort(all)
			return all
		}
		id := func(seq uint64) schemas.MessageID { return schemas.MessageID(fmt.Sprint("m", seq)) }
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				seq := rapid.Uint64Range(1, 60).Draw(t, "sequence")
				if w.has(seq) {
					t.SkipNow()
				}
				acked := rapid.Bool().Draw(t, "acked")
				w.add(windowEntry{seq: seq, head: schemas.EntryHead{MessageID: id(seq)}, sent: time.Unix(int64(seq), 0), acked: acked})
				model[seq] = acked
			},
			"ack": func(t *rapid.T) {
				upTo := rapid.Uint64Range(0, 60).Draw(t, "up to")
				var want []schemas.MessageID
				for _, seq := range seqs() {
					if seq <= upTo && !model[seq] {
						want, model[seq] = append(want, id(seq)), true
					}
				}
				var got []schemas.MessageID
				for _, h := range w.ack(func(e *windowEntry) bool { return e.seq <= upTo }) {
					got = append(got, h.MessageID)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("news of %v, not %v", got, want)
				}
			},
			"drop": func(t *rapid.T) {
				prefix := w.ackedPrefix()
				if len(prefix) == 0 {
					t.SkipNow()
				}
				last := prefix[rapid.IntRange(0, len(prefix)-1).Draw(t, "which")].seq
				w.drop(last)
				for _, seq := range seqs() {
					if seq <= last {
						delete(model, seq)
					}
				}
			},
			"": func(t *rapid.T) {
				all := seqs()
				pos := rapid.Uint64Range(0, 61).Draw(t, "pos")
				unacked, prefix, after, oldest := 0, 0, []uint64{}, uint64(0)
				for _, seq := range all {
					if !model[seq] {
						if unacked++; oldest == 0 {
							oldest = seq
						}
					}
					if unacked == 0 {
						prefix++
					}
					if seq > pos {
						after = append(after, seq)
					}
				}
				sent, waiting := w.oldestUnacked()
				switch {
				case len(w.entries) != len(all) || w.unacked != unacked || len(w.ackedPrefix()) != prefix:
					t.Fatalf("%d entries, %d unacknowledged, prefix %d; want %d, %d, %d",
						len(w.entries), w.unacked, len(w.ackedPrefix()), len(all), unacked, prefix)
				case !slices.Equal(w.sentAfter(pos), after) || w.after(pos) != len(after):
					t.Fatalf("after %d are %v, not %v", pos, w.sentAfter(pos), after)
				case waiting != (oldest > 0) || waiting && sent.Unix() != int64(oldest):
					t.Fatalf("the oldest was sent at %v, %t, not %d", sent, waiting, oldest)
				case w.has(pos) != slices.Contains(all, pos):
					t.Fatalf("has %d: %t", pos, w.has(pos))
				}
			},
		})
	})
}
