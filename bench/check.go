package bench

import (
	"fmt"
	"strings"
)

// Check is what became of the messages of a scenario.
type Check struct {
	Sent       int64 `json:"sent"`
	Accepted   int64 `json:"accepted"`   // answered with message_received
	Refused    int64 `json:"refused"`    // answered with error
	Unanswered int64 `json:"unanswered"` // not answered within the wait at the end
	Arrived    int64 `json:"arrived"`    // at the receiver, each counted once
	Repeated   int64 `json:"repeated"`   // came again before it was acknowledged: allowed
	OutOfOrder int64 `json:"out_of_order"`
	Late       int64 `json:"late"`       // arrived, though the receiver was connected for 5 s before it did
	Missing    int64 `json:"missing"`    // accepted, and did not arrive
	Duplicates int64 `json:"duplicates"` // came again after it was acknowledged
	Corrupt    int64 `json:"corrupt"`    // other content, number, sender or receiver than sent
}

// Err says what is wrong with the messages: nil where each accepted one arrived,
// once and unaltered.
func (c Check) Err() error {
	var wrong []string
	for _, part := range []struct {
		n    int64
		name string
	}{{c.Missing, "missing"}, {c.Duplicates, "duplicate"}, {c.Corrupt, "corrupt"}} {
		if part.n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s", part.n, part.name))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("MESSAGES ARE WRONG: %s, of %d accepted", strings.Join(wrong, ", "), c.Accepted)
}

// add sums two checks.
func (c *Check) add(o Check) {
	c.Sent += o.Sent
	c.Accepted += o.Accepted
	c.Refused += o.Refused
	c.Unanswered += o.Unanswered
	c.Arrived += o.Arrived
	c.Repeated += o.Repeated
	c.OutOfOrder += o.OutOfOrder
	c.Late += o.Late
	c.Missing += o.Missing
	c.Duplicates += o.Duplicates
	c.Corrupt += o.Corrupt
}
