package jsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// Message is one message read from a stream.
type Message struct {
	Subject  string
	Sequence uint64
	Time     time.Time // when the stream stored it
	Data     []byte
}

const (
	// maxReads bounds the reads in progress.
	maxReads = 32
	// MaxSubjects is how many subjects one Direct Get looks up; the server's limit is
	// 1,024.
	MaxSubjects = 1000
	// MaxAnswers bounds the answers that wait for one reader: twice what one request can
	// have, so that the rest of a request that was given up does not count. NATS drops
	// more. A request that loses an answer fails, at the next answer or at its time limit.
	MaxAnswers = 2 * (MaxSubjects + 1)

	maxReadBytes = 1 << 20 // of one read of one device
	// maxLastBytes is more than MaxSubjects records of the buckets that are read so.
	maxLastBytes = 64 << 20
)

// errReaderFault means that the answers of a Direct Get did not add up.
var errReaderFault = errors.New("the stream's answer is incomplete")

// errNoMessage means that a stream answered a read with 404. It does so for a subject
// that holds nothing, and for a block that it cannot open: see absent.go.
var errNoMessage = errors.New("the stream did not find a message")

// errTooMany means that a pattern has more subjects than one Direct Get answers.
var errTooMany = errors.New("too many subjects for one read")

// directRequest is the body of $JS.API.DIRECT.GET.<stream>, see ADR-31 of NATS.
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

// reader does one Direct Get at a time over a subscription that it keeps.
type reader struct {
	nc     *nats.Conn
	sub    *nats.Subscription
	prefix string
	single bool // as in Client
	n      uint64
}

// withReader calls do with a reader once one is free.
func (c *Client) withReader(ctx context.Context, do func(*reader) error) error {
	var r *reader
	select {
	case r = <-c.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	if r == nil {
		prefix := c.reads.NewInbox() + "."
		sub, err := c.reads.SubscribeSync(prefix + "*")
		if err != nil {
			c.readers <- nil
			return fmt.Errorf("failed to subscribe for Direct Get: %w", err)
		}
		_ = sub.SetPendingLimits(-1, -1) // bounded by the answers to one request
		r = &reader{nc: c.reads, sub: sub, prefix: prefix, single: c.single}
	}
	err := do(r)
	c.readers <- r
	return err
}

// get sends one request and collects its answers: for a batch until the server's
// end-of-batch, else one message.
//
//  1. If the stream knows that there is none, all is empty.
//  2. If it answers 404 and may have failed to read, the error is errNoMessage.
//  3. If an answer was lost, the error is errReaderFault or that of ctx.
func (r *reader) get(ctx context.Context, stream string, req directRequest) (all []Message, more bool, err error) {
	if until, ok := ctx.Deadline(); !ok || time.Until(until) > Timeout {
		bounded, cancel := context.WithTimeout(ctx, Timeout)
		defer cancel()
		ctx = bounded
	}
	api := "$JS.API.DIRECT.GET." + stream
	if req.LastFor != "" { // the one request with a subject of its own, which permissions of a role can name
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
		s, err := parseMessage(m)
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
		last = s.Sequence
	}
}

// follows checks that no answer of a batch was lost before m: each answer names its
// predecessor. Answers come over core NATS, which loses the answers that a broken
// connection or queue had in flight. An entry lost here would count as delivered.
func follows(m *nats.Msg, last uint64) error {
	before, err := strconv.ParseUint(m.Header.Get("Nats-Last-Sequence"), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: an answer without Nats-Last-Sequence", errReaderFault)
	}
	if before != last {
		return fmt.Errorf("%w: an answer follows sequence %d, and %d was the last that came", errReaderFault, before, last)
	}
	return nil
}

func parseMessage(m *nats.Msg) (Message, error) {
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return Message{}, fmt.Errorf("%w: a message without Nats-Sequence", errReaderFault)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	if err != nil {
		return Message{}, fmt.Errorf("%w: a message without Nats-Time-Stamp", errReaderFault)
	}
	return Message{Subject: m.Header.Get("Nats-Subject"), Sequence: seq, Time: at, Data: m.Data}, nil
}
