package sendlog

import (
	"context"
	"errors"
	"log/slog"
	"strconv"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/msgid"
	"roost/streams/publisher"
	"roost/streams/subject"
)

// Log keeps the records of sends. Methods may be called concurrently.
type Log interface {
	// Start completes the unfinished work of an earlier process. A gateway calls it once
	// before it sends.
	Start(ctx context.Context) error

	// Record commits the record of a send. Records of one device are stored in the order
	// of the calls. done does not block and is called once unless Record fails: when the
	// record is durable, or at once if the record may follow the copies. Then the outcome
	// has no sequence.
	Record(a subject.Address, rec schemas.SendRecord, done func(publisher.Outcome)) error

	// Last returns the newest record of a device; ok is false if it never sent.
	Last(ctx context.Context, a subject.Address) (rec schemas.SendRecord, ok bool, err error)

	// Find looks for the record of a number among the last sends of a device.
	//
	//  1. ok: the number was sent before, as rec says.
	//  2. not ok, no error: the number is new. Numbers may be skipped, and a send that was
	//     refused may be retried after its successors. rec.Highest is the largest number of
	//     the last sends.
	//  3. ErrForgotten: the log cannot tell a retry from a new message.
	Find(ctx context.Context, a subject.Address, n schemas.ClientMessageID) (rec schemas.SendRecord, ok bool, err error)

	// Copied reports the sequence of a copy that was stored in an inbox.
	Copied(seq uint64)

	// Recorded reports whether all records queued so far are durable.
	Recorded() bool

	// WhenRecorded calls tell, which does not block, when all records queued so far are
	// durable, or with publisher.ErrClosed.
	WhenRecorded(tell func(error))

	// BeforeRemoval waits until the sends of all entries of a stream up to seq are on
	// record: only then the entries may be removed.
	BeforeRemoval(ctx context.Context, stream string, seq uint64) error

	// Close commits the queue, until a commit fails or ctx ends.
	Close(ctx context.Context)

	// Left waits for the end of the goroutine and returns how many records of accepted
	// sends were not stored. Call it after Close and after the publisher was closed.
	Left() int
}

// ErrForgotten means that a number is older than the last schemas.MaxOutstanding sends of
// the device.
var ErrForgotten = errors.New("older than the sends on record")

// First is the Log that commits a record before the copies.
type First struct {
	api        *jsapi.Client
	publisher  *publisher.Publisher
	clock      *msgid.Clock
	partitions int
	log        *slog.Logger
}

var _ Log = (*First)(nil)

// NewFirst makes the log of a cluster with a number of partitions.
func NewFirst(api *jsapi.Client, p *publisher.Publisher, clock *msgid.Clock, partitions int, log *slog.Logger) *First {
	return &First{api: api, publisher: p, clock: clock, partitions: partitions, log: log}
}

// Start implements [Log].
func (l *First) Start(ctx context.Context) error {
	_, err := l.Recover(ctx)
	return err
}

// Record implements [Log].
func (l *First) Record(a subject.Address, rec schemas.SendRecord, done func(publisher.Outcome)) error {
	p := l.partition(a)
	return l.publisher.Commit(subject.SentStream(p), []publisher.Entry{entry(p, a, rec)}, func(o []publisher.Outcome) { done(o[0]) })
}

func (l *First) partition(a subject.Address) int { return subject.Partition(a.User, l.partitions) }

func entry(p int, a subject.Address, rec schemas.SendRecord) publisher.Entry {
	return publisher.Entry{
		Subject: subject.Sent(p, a),
		ID:      string(a.Device) + "." + strconv.FormatInt(int64(rec.MessageIDByClient), 10),
		Data:    schemas.Encode(rec),
	}
}

// Last implements [Log].
func (l *First) Last(ctx context.Context, a subject.Address) (rec schemas.SendRecord, ok bool, err error) {
	p := l.partition(a)
	return l.newest(ctx, p, subject.Sent(p, a))
}

// Newest returns the newest record of a partition.
func (l *First) Newest(ctx context.Context, p int) (rec schemas.SendRecord, ok bool, err error) {
	return l.newest(ctx, p, subject.AllSent(p))
}

func (l *First) newest(ctx context.Context, p int, filter string) (rec schemas.SendRecord, ok bool, err error) {
	m, ok, err := l.api.Last(ctx, subject.SentStream(p), filter)
	if err != nil || !ok {
		return rec, false, err
	}
	rec, err = schemas.Decode[schemas.SendRecord](m.Data)
	return rec, err == nil, err
}

// Find implements [Log].
func (l *First) Find(ctx context.Context, a subject.Address, n schemas.ClientMessageID) (rec schemas.SendRecord, ok bool, err error) {
	p := l.partition(a)
	all, _, err := l.api.Read(ctx, subject.SentStream(p), subject.Sent(p, a), 0, schemas.MaxOutstanding)
	if err != nil {
		return rec, false, err
	}
	lowest := n
	for _, m := range all {
		one, err := schemas.Decode[schemas.SendRecord](m.Data)
		if err != nil {
			return rec, false, err
		}
		if one.MessageIDByClient == n {
			return one, true, nil
		}
		lowest, rec.Highest = min(lowest, one.MessageIDByClient), max(rec.Highest, one.Newest())
	}
	if len(all) >= schemas.MaxOutstanding && lowest == n {
		return rec, false, ErrForgotten
	}
	return rec, false, nil
}

// Copied implements [Log].
func (l *First) Copied(uint64) {}

// Recorded implements [Log].
func (l *First) Recorded() bool { return true }

// WhenRecorded implements [Log].
func (l *First) WhenRecorded(tell func(error)) { tell(nil) }

// BeforeRemoval implements [Log].
func (l *First) BeforeRemoval(context.Context, string, uint64) error { return nil }

// Close implements [Log].
func (l *First) Close(context.Context) {}

// Left implements [Log].
func (l *First) Left() int { return 0 }
