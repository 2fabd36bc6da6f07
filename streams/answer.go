package streams

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"roost/streams/jsapi"
)

// answer hears one answer of the stream, on the subscription's goroutine.
func (w *writer) answer(m *nats.Msg) {
	token, err := strconv.ParseUint(m.Subject[len(w.reply):], 36, 64)
	if err != nil {
		return
	}
	w.resolve(token, parseAnswer(m))
}

// errRefused marks what the stream said no to, in contrast to not being reached.
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

// parseAck reads the plain answer {"stream":"…", "seq":…} without reflection; of
// any other it is not ok.
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

// resolve records what became of one publication and tells the owners of the sets
// that are complete. An answer that comes after its publication was given up
// finds nothing to do.
func (w *writer) resolve(token uint64, o Outcome) {
	w.mu.Lock()
	p, ok := w.inflight[token]
	if !ok {
		w.mu.Unlock()
		return
	}
	delete(w.inflight, token)
	if p.batch {
		w.batching = false
	} else {
		w.singles--
	}
	refused := p.batch && errors.Is(o.Err, errRefused)
	if refused {
		// Which entry it was for, a full inbox or a duplicate, nobody says.
		w.apart = p.spans
	}
	if w.queued > 0 || len(w.apart) > 0 {
		w.signal()
	}
	w.mu.Unlock()
	switch {
	case refused:
	case p.batch && o.Err == nil:
		// The sequences of a batch are consecutive; the answer has the last.
		first := o.Sequence + 1 - uint64(countEntries(p.spans))
		w.settle(p.spans, func(i int) Outcome { return Outcome{Sequence: first + uint64(i)} })
	default:
		w.settle(p.spans, func(int) Outcome { return o })
	}
}

// settle gives each entry of spans its outcome, by its place among them, and calls
// done for the sets that are complete, in their order.
func (w *writer) settle(spans []span, outcome func(i int) Outcome) {
	complete := make([]*set, 0, len(spans))
	w.mu.Lock()
	n := 0
	for _, s := range spans {
		for i := s.from; i < s.to; i++ {
			s.set.outcomes[i] = ofStream(w.stream, outcome(n))
			n++
		}
		if s.set.missing -= s.to - s.from; s.set.missing == 0 {
			complete = append(complete, s.set)
		}
	}
	w.mu.Unlock()
	for _, s := range complete {
		s.done(s.outcomes)
	}
}

// CommitError says which stream did not store an entry, and why.
type CommitError struct {
	Stream string
	Err    error
}

func (e *CommitError) Error() string { return "stream " + e.Stream + ": " + e.Err.Error() }
func (e *CommitError) Unwrap() error { return e.Err }

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
