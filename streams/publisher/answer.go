package publisher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"roost/streams/jsapi"
)

// answer receives one answer of the stream, on the goroutine of the subscription.
func (w *writer) answer(m *nats.Msg) {
	token, err := strconv.ParseUint(m.Subject[len(w.reply):], 36, 64)
	if err != nil {
		return
	}
	w.resolve(token, parseAnswer(m))
}

// errRefused marks an entry that the stream refused, in contrast to a stream that was
// not reached.
var errRefused = errors.New("refused")

func parseAnswer(m *nats.Msg) Outcome {
	if sequence, ok := parseAck(m.Data); ok {
		return Outcome{Sequence: sequence}
	}
	if m.Header.Get("Status") == "503" {
		return Outcome{Err: fmt.Errorf("%w: no stream listens", ErrNotStored)}
	}
	var ack struct {
		Sequence  uint64       `json:"seq"`
		Duplicate bool         `json:"duplicate"`
		Error     *jsapi.Error `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return Outcome{Err: fmt.Errorf("%w: unreadable answer: %w", ErrUnknownOutcome, err)}
	}
	if ack.Error != nil {
		if strings.Contains(ack.Error.Description, "maximum messages per subject") {
			return Outcome{Err: fmt.Errorf("%w: %w", ErrInboxFull, errRefused)}
		}
		if ack.Error.Stale() {
			return Outcome{Err: fmt.Errorf("%w: %w", ErrStale, errRefused)}
		}
		return Outcome{Err: fmt.Errorf("%w: %w: %s (%d)", ErrNotStored, errRefused, ack.Error.Description, ack.Error.Code)}
	}
	return Outcome{Sequence: ack.Sequence, Duplicate: ack.Duplicate}
}

// parseAck reads the plain answer {"stream":"…", "seq":…} without reflection; ok is false
// for any other.
func parseAck(data []byte) (sequence uint64, ok bool) {
	_, rest, ok := bytes.Cut(data, []byte(`"seq":`))
	if !ok || !bytes.HasPrefix(data, []byte(`{"stream":`)) {
		return 0, false
	}
	i := 0
	for ; i < len(rest) && rest[i] >= '0' && rest[i] <= '9' && i < 19; i++ {
		sequence = sequence*10 + uint64(rest[i]-'0')
	}
	rest = rest[i:]
	return sequence, i > 0 && (string(rest) == "}" || bytes.HasPrefix(rest, []byte(`,"batch":`)))
}

// resolve records the outcome of one publication and completes the sets that have all
// outcomes. It ignores an answer that comes after its publication was given up.
func (w *writer) resolve(token uint64, o Outcome) {
	w.mu.Lock()
	p, ok := w.inflight[token]
	if !ok {
		w.mu.Unlock()
		return
	}
	delete(w.inflight, token)
	refused := p.batch && errors.Is(o.Err, errRefused) && w.phase != closed
	switch {
	case !p.batch:
		w.singles--
	case refused:
		// The answer does not say which entry: a full inbox, say, or a duplicate.
		w.refused = p.spans
		w.enter(repeating)
	case w.phase != closed:
		w.enter(pipelining)
	}
	if w.queued > 0 || len(w.refused) > 0 {
		w.signal()
	}
	w.mu.Unlock()
	switch {
	case refused:
	case p.batch && o.Err == nil:
		// The sequences of a batch are consecutive; the answer has the last.
		first := o.Sequence + 1 - uint64(countEntries(p.spans))
		w.report(p.spans, func(i int) Outcome { return Outcome{Sequence: first + uint64(i)} })
	default:
		w.report(p.spans, func(int) Outcome { return o })
	}
}

// report gives each entry of spans its outcome, by its place among them, and completes
// the sets that have all outcomes, in their order.
func (w *writer) report(spans []span, outcome func(i int) Outcome) {
	complete := make([]*set, 0, len(spans))
	w.mu.Lock()
	n := 0
	for _, s := range spans {
		for i := s.from; i < s.to; i++ {
			o := outcome(n)
			w.note(o.Err)
			s.set.outcomes[i] = ofStream(w.stream, o)
			n++
		}
		s.set.missing -= s.to - s.from
		switch {
		case s.set.missing < 0:
			panic("publisher: an entry has two outcomes")
		case s.set.missing == 0:
			complete = append(complete, s.set)
		}
	}
	w.mu.Unlock()
	for _, s := range complete {
		s.complete()
	}
}

// note records whether the stream stores anything. If it refused one entry, it may still
// store others. mu is held.
func (w *writer) note(err error) {
	switch {
	case errors.Is(err, ErrClosed):
	case err == nil, errors.Is(err, ErrInboxFull), errors.Is(err, ErrStale):
		w.failing = nil
	default:
		if w.failing == nil {
			w.since = time.Now()
		}
		w.failing = err
	}
}

func ofStream(stream string, o Outcome) Outcome {
	if o.Err != nil {
		o.Err = &CommitError{stream, o.Err}
	}
	return o
}

func countEntries(spans []span) (n int) {
	for _, s := range spans {
		n += s.to - s.from
	}
	return n
}
