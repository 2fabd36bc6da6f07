package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// stored is one message read from a stream.
type stored struct {
	subject  string
	sequence uint64
	time     time.Time
	data     []byte
}

// maxCatchUps bounds the reads of streams under way in a process. More wait for
// their turn, so a storm of reconnects queues here and not in the server.
const maxCatchUps = 32

// readTimeout bounds one Direct Get where ctx does not.
const readTimeout = 5 * time.Second

// errReaderFault means that the answers of a Direct Get did not add up.
var errReaderFault = errors.New("the stream's answer is incomplete")

// errNoMessage means that a stream answered a read with 404. It does so for a subject
// that holds nothing, and for a block that it cannot open: see absent.go.
var errNoMessage = errors.New("the stream did not find a message")

// errTooMany means that a pattern has more subjects than one Direct Get answers.
var errTooMany = errors.New("too many subjects for one read")

// directRequest is the body of $JS.API.DIRECT.GET.<stream>, see ADR-31.
type directRequest struct {
	Seq       uint64     `json:"seq,omitempty"`
	NextFor   string     `json:"next_by_subj,omitempty"`
	LastFor   string     `json:"last_by_subj,omitempty"`
	MultiLast []string   `json:"multi_last,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
	UpToTime  *time.Time `json:"up_to_time,omitempty"`
	Batch     int        `json:"batch,omitempty"`
	MaxBytes  int        `json:"max_bytes,omitempty"`
}

// readerPool hands out readers; it is the bound as well.
type readerPool struct {
	readers chan *reader // maxCatchUps; a nil one is to be made
	nc      *nats.Conn
	single  bool // one server has all streams: what it answers is what the leader answers
}

// reader does one Direct Get at a time over a subscription that it keeps.
type reader struct {
	nc     *nats.Conn
	sub    *nats.Subscription
	prefix string
	single bool // as in readerPool
	n      uint64
}

func newReaderPool(nc *nats.Conn, single bool) *readerPool {
	p := &readerPool{readers: make(chan *reader, maxCatchUps), nc: nc, single: single}
	for range maxCatchUps {
		p.readers <- nil
	}
	return p
}

// close waits for the readers to come back.
func (p *readerPool) close() {
	for range maxCatchUps {
		if r := <-p.readers; r != nil {
			_ = r.sub.Unsubscribe()
		}
	}
}

func (p *readerPool) with(ctx context.Context, do func(*reader) error) error {
	var r *reader
	select {
	case r = <-p.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	if r == nil {
		prefix := p.nc.NewInbox() + "."
		sub, err := p.nc.SubscribeSync(prefix + "*")
		if err != nil {
			p.readers <- nil
			return fmt.Errorf("failed to subscribe for Direct Get: %w", err)
		}
		_ = sub.SetPendingLimits(-1, -1) // bounded by what one request asks for
		r = &reader{nc: p.nc, sub: sub, prefix: prefix, single: p.single}
	}
	err := do(r)
	p.readers <- r
	return err
}

// last is the newest message of a subject, which may have wildcards. It is not ok where
// the leader of the stream confirms that the subject has none.
func (p *readerPool) last(ctx context.Context, stream, subject string) (m stored, ok bool, err error) {
	return p.lastWith(ctx, (*reader).leaderHolds, stream, subject)
}

// newest is last where any replica may confirm that the subject has none: it is cheaper,
// and may be a moment old.
func (p *readerPool) newest(ctx context.Context, stream, subject string) (m stored, ok bool, err error) {
	return p.lastWith(ctx, (*reader).anyHolds, stream, subject)
}

func (p *readerPool) lastWith(ctx context.Context, holds holdsFunc, stream, subject string) (m stored, ok bool, err error) {
	err = p.with(ctx, func(r *reader) error {
		all, err := r.last(ctx, holds, stream, subject)
		if len(all) > 0 {
			m, ok = all[0], true
		}
		return err
	})
	return m, ok, err
}

// lastUntil is the newest message of a subject that was stored at or before t; the
// zero time is now.
func (p *readerPool) lastUntil(ctx context.Context, stream, subject string, t time.Time) (m stored, ok bool, err error) {
	if t.IsZero() {
		return p.last(ctx, stream, subject)
	}
	until := t.Add(1) // the server takes what was stored before
	err = p.with(ctx, func(r *reader) error {
		all, _, err := r.get(ctx, stream, directRequest{MultiLast: []string{subject}, UpToTime: &until, Batch: 1})
		if len(all) > 0 {
			m, ok = all[0], true
		}
		return err
	})
	return m, ok, err
}

// next reads up to n messages of a subject from sequence seq on (0: from the
// first). more says that the subject holds further ones. It returns none, and no error,
// only where the stream confirms that the subject has none from there on.
func (p *readerPool) next(ctx context.Context, stream, subject string, seq uint64, n int) (all []stored, more bool, err error) {
	return p.some(ctx, stream, subject, seq, n, maxReadBytes)
}

// some is next with a bound in bytes.
func (p *readerPool) some(ctx context.Context, stream, subject string, seq uint64, n, size int) (all []stored, more bool, err error) {
	return p.forward(ctx, stream, directRequest{Seq: seq, NextFor: subject, Batch: n, MaxBytes: size})
}

// since reads up to n messages of a subject stored at or after t.
func (p *readerPool) since(ctx context.Context, stream, subject string, t time.Time, n int) (all []stored, more bool, err error) {
	err = p.with(ctx, func(r *reader) error {
		start, err := r.sequenceAt(ctx, stream, t)
		if err != nil {
			return err
		}
		all, more, err = r.fromTime(ctx, stream, subject, start, t, n)
		return err
	})
	return all, more, err
}

// sequenceAt is [reader.sequenceAt] with any reader.
func (p *readerPool) sequenceAt(ctx context.Context, stream string, t time.Time) (start uint64, err error) {
	err = p.with(ctx, func(r *reader) error {
		start, err = r.sequenceAt(ctx, stream, t)
		return err
	})
	return start, err
}

// fromTime is [reader.fromTime] with any reader.
func (p *readerPool) fromTime(ctx context.Context, stream, subject string, start uint64, t time.Time, n int) (all []stored, more bool, err error) {
	err = p.with(ctx, func(r *reader) error {
		all, more, err = r.fromTime(ctx, stream, subject, start, t, n)
		return err
	})
	return all, more, err
}

// fromTime reads up to n messages of a subject stored at or after t, which sequenceAt has
// looked up: start.
func (r *reader) fromTime(ctx context.Context, stream, subject string, start uint64, t time.Time, n int) (all []stored, more bool, err error) {
	req := directRequest{NextFor: subject, Seq: start, Batch: n, MaxBytes: maxReadBytes}
	if start == 0 {
		req.StartTime = &t
	}
	return r.forward(ctx, stream, req)
}

func (p *readerPool) forward(ctx context.Context, stream string, req directRequest) (all []stored, more bool, err error) {
	err = p.with(ctx, func(r *reader) error {
		all, more, err = r.forward(ctx, stream, req)
		return err
	})
	return all, more, err
}

// lasts is the newest message of each subject that has one, some subjects a request.
func (p *readerPool) lasts(ctx context.Context, stream string, subjects []string) (all []stored, err error) {
	for some := range slices.Chunk(subjects, maxMultiLast) {
		err := p.with(ctx, func(r *reader) error {
			found, more, err := r.get(ctx, stream, directRequest{MultiLast: some, Batch: maxMultiLast, MaxBytes: maxMultiBytes})
			if err == nil && more {
				err = fmt.Errorf("%w: the newest messages of %d subjects of %s are more than %d MiB", errReaderFault, len(some), stream, maxMultiBytes>>20)
			}
			all = append(all, found...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// maxAnswers bounds the answers that wait for one reader: twice what one request
// can have, so that what is left of one that was given up does not count. NATS
// drops more, what was given up repeatedly say, and a request that loses an answer
// fails: at the next one, or at its time limit.
const maxAnswers = 2 * (maxMultiLast + 1)

const (
	maxMultiLast = 1000    // the server's own limit is 1,024
	maxReadBytes = 1 << 20 // of one read of one device
	// maxMultiBytes is more than maxMultiLast records of the buckets that are read so.
	maxMultiBytes = 64 << 20
)

// get sends one request and collects its answers: for a batch until the server's
// end-of-batch, else one message. Where the stream knows that there is none, all is
// empty; where it answers 404 and may just have failed to read, the error is
// errNoMessage.
func (r *reader) get(ctx context.Context, stream string, req directRequest) (all []stored, more bool, err error) {
	if until, ok := ctx.Deadline(); !ok || time.Until(until) > readTimeout {
		bounded, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		ctx = bounded
	}
	api := "$JS.API.DIRECT.GET." + stream
	if req.LastFor != "" { // the one request that has a subject of its own, which a role can be held to
		api, req.LastFor = api+"."+req.LastFor, ""
	}
	body, err := json.Marshal(req)
	if err != nil {
		return nil, false, fmt.Errorf("failed to encode a Direct Get: %w", err)
	}
	r.n++
	reply := r.prefix + strconv.FormatUint(r.n, 36)
	if err := r.nc.PublishRequest(api, reply, body); err != nil {
		return nil, false, fmt.Errorf("failed to ask for messages of %s: %w", stream, err)
	}
	var last uint64 // the sequence of the answer before
	for {
		m, err := r.sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, false, fmt.Errorf("failed to read messages of %s: %w", stream, err)
		}
		if m.Subject != reply {
			continue // the rest of a request that was given up
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case "404":
			// Only the index in memory says this: no block was looked for.
			if len(req.MultiLast) > 0 && len(all) == 0 && m.Header.Get("Description") == "No Results" {
				return nil, false, nil
			}
			return nil, false, fmt.Errorf("%w in %s", errNoMessage, stream)
		case "204":
			if err := follows(m, last); err != nil {
				return nil, false, err
			}
			pending, err := strconv.ParseUint(m.Header.Get("Nats-Num-Pending"), 10, 64)
			if err != nil {
				return nil, false, fmt.Errorf("%w: end of batch without Nats-Num-Pending", errReaderFault)
			}
			return all, pending > 0, nil
		case "413":
			return nil, false, fmt.Errorf("%w in %s", errTooMany, stream)
		default:
			return nil, false, fmt.Errorf("%s answered %s %s", stream, status, m.Header.Get("Description"))
		}
		s, err := parseStored(m)
		if err != nil {
			return nil, false, err
		}
		all = append(all, s)
		if req.Batch == 0 {
			return all, false, nil
		}
		if err := follows(m, last); err != nil {
			return nil, false, err
		}
		last = s.sequence
	}
}

// follows checks that no answer of a batch was lost before m: each names the one
// before it. They come over core NATS, which loses what a connection or a queue
// that breaks had under way. An entry lost here would count as delivered.
func follows(m *nats.Msg, last uint64) error {
	before, err := strconv.ParseUint(m.Header.Get("Nats-Last-Sequence"), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: an answer without Nats-Last-Sequence", errReaderFault)
	}
	if before != last {
		return fmt.Errorf("%w: it goes on behind sequence %d, and %d was the last that came", errReaderFault, before, last)
	}
	return nil
}

func parseStored(m *nats.Msg) (stored, error) {
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return stored{}, fmt.Errorf("%w: a message without Nats-Sequence", errReaderFault)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	if err != nil {
		return stored{}, fmt.Errorf("%w: a message without Nats-Time-Stamp", errReaderFault)
	}
	return stored{subject: m.Header.Get("Nats-Subject"), sequence: seq, time: at, data: m.Data}, nil
}
