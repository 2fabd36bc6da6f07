package receipts

import (
	"context"
	"fmt"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// Read marks: how far a user has read each chat, for their own devices only. They have a
// key of their own in RECEIPTS, because the sender may see a receipt. So a reader who
// hides read receipts still has read marks, and the sender sees no change.

// AdvanceReadMark moves the mark of reader in a chat up to id, if it is not there yet,
// and returns once that is durable.
func (r *Receipts) AdvanceReadMark(ctx context.Context, reader schemas.UserID, chat schemas.Participant, id schemas.MessageID) error {
	return r.AdvanceAll(ctx, Marks{subject.ReadMarkKey(reader, chat): {ReadUpTo: id}})
}

// ReadMarks returns at most n marks of a user from a place on, the marks that changed
// last at the end. next is the place after them, or 0 after the last mark.
func (r *Receipts) ReadMarks(ctx context.Context, u schemas.UserID, from uint64, n int) (marks []schemas.ReadMark, next uint64, err error) {
	filter := subject.ReadMarks(u)
	all, more, err := r.api.Read(ctx, subject.Receipts.Stream(), filter, from, n)
	if err != nil {
		return nil, 0, fmt.Errorf("failed to read the read marks of a user: %w", err)
	}
	if more && len(all) > 0 {
		next = all[len(all)-1].Sequence + 1
	}
	return decodeReadMarks(filter, all), next, nil
}

func decodeReadMarks(subject string, all []jsapi.Message) []schemas.ReadMark {
	marks := make([]schemas.ReadMark, 0, len(all))
	for _, m := range all {
		if mark, ok := DecodeReadMark(m.Subject[len(subject)-len("*"):], m.Data); ok {
			marks = append(marks, mark)
		}
	}
	return marks
}

// DecodeReadMark reads one mark; ok is false for the marker of a deleted one.
func DecodeReadMark(token string, data []byte) (mark schemas.ReadMark, ok bool) {
	if len(data) == 0 {
		return mark, false
	}
	w, err := schemas.Decode[schemas.Watermark](data)
	if err != nil || w.ReadUpTo == "" {
		return mark, false
	}
	chat := token
	if _, err := schemas.ParseGroupID(token); err != nil { // no user's token begins so
		u, err := schemas.ParseUserToken(token)
		if err != nil {
			return mark, false
		}
		chat = string(u)
	}
	return schemas.ReadMark{Chat: chat, ReadUpTo: w.ReadUpTo}, true
}
