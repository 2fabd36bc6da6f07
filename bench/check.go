package bench

import (
	"fmt"
	"strings"
)

// Check counts the outcomes of the messages of a scenario.
type Check struct {
	Sent       int64 `json:"sent"`
	Accepted   int64 `json:"accepted"`   // answered with message_received
	Refused    int64 `json:"refused"`    // answered with error
	Unanswered int64 `json:"unanswered"` // not answered within the wait at the end
	Arrived    int64 `json:"arrived"`    // at the receiver, each message once
	Repeated   int64 `json:"repeated"`   // redelivered before the acknowledgement: allowed
	OutOfOrder int64 `json:"out_of_order"`
	Late       int64 `json:"late"`       // arrived after the receiver had been connected for 5 s
	Missing    int64 `json:"missing"`    // accepted, and did not arrive
	Duplicates int64 `json:"duplicates"` // redelivered after the acknowledgement
	Corrupt    int64 `json:"corrupt"`    // with another content, number, sender or receiver
}

// Err returns nil if each accepted message arrived once and unaltered, else an error with the
// counts.
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
