package publisher

import (
	"errors"

	"roost/schemas"
)

// Entry is one message to be committed to a stream.
type Entry struct {
	Subject string
	// ID is the Nats-Msg-Id: a second entry with it, within the stream's window for
	// duplicates, is a duplicate of the first.
	ID   string
	Data []byte
	// Keep marks an entry of MESSAGES that history workers store.
	Keep bool
	// ExpiresAt is when the entry leaves the stream by itself; 0 is when the limits of the
	// stream say so.
	ExpiresAt schemas.Timestamp
	// Guarded has the stream refuse the entry with ErrStale unless Previous is the
	// sequence of the newest entry of its subject; 0 is a subject without entries.
	Guarded  bool
	Previous uint64
}

// size is about the encoded size of an entry, and never less.
func (e *Entry) size() int { return len(e.Data) + len(e.Subject) + len(e.ID) + headerRoom }

// Outcome is the result of one Entry.
type Outcome struct {
	Sequence  uint64 // in the stream; of the first one if Duplicate
	Duplicate bool   // the stream has an entry with that ID already
	// Err is nil if the entry is durable: stored by the rules of the stream before it
	// answered. ErrInboxFull, ErrStale and ErrNotStored mean that it is not stored,
	// ErrUnknownOutcome and ErrClosed that it may be.
	Err error
}

// FirstError is the error of the first entry that has one.
func FirstError(outcomes []Outcome) error {
	for _, o := range outcomes {
		if o.Err != nil {
			return o.Err
		}
	}
	return nil
}

// Errors of a commit.
var (
	// ErrInboxFull means that the subject has as many entries as it may.
	ErrInboxFull = errors.New("the inbox is full")
	// ErrStale means that the newest entry of a guarded entry's subject is not Previous.
	ErrStale = errors.New("the subject has changed meanwhile")
	// ErrUnknownOutcome means that no answer came in time. The entry may be stored. It
	// is safe to commit it again under its ID.
	ErrUnknownOutcome = errors.New("no answer from the stream in time")
	// ErrNotStored means that the stream refused the entry, or that it waited for too
	// long to be published.
	ErrNotStored = errors.New("the stream did not store it")
	// ErrBusy means that too many entries wait already. None of the set was queued.
	ErrBusy = errors.New("too many commits wait for the stream")
	// ErrClosed means that the Publisher is closing.
	ErrClosed = errors.New("closing")
)

// CommitError names the stream that did not store an entry, and the reason.
type CommitError struct {
	Stream string
	Err    error
}

func (e *CommitError) Error() string { return "stream " + e.Stream + ": " + e.Err.Error() }
func (e *CommitError) Unwrap() error { return e.Err }
