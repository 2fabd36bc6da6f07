package bench

import "fmt"

// Row is one line of the table of targets: a figure with its targets.
type Row struct {
	Figure string   `json:"figure"`
	Unit   string   `json:"unit"`
	Value  *float64 `json:"value,omitempty"` // absent: not measured
	Least  float64  `json:"at_least"`        // at most, if Lower
	Aim    float64  `json:"aim"`
	Lower  bool     `json:"lower_is_better"`
}

// Verdicts of a row.
const (
	VerdictAim    = "aim reached"
	VerdictHolds  = "holds"
	VerdictMisses = "misses"
	VerdictNone   = "not measured"
)

// Verdict compares the figure with the row's targets.
func (r Row) Verdict() string {
	switch {
	case r.Value == nil:
		return VerdictNone
	case r.reaches(r.Aim):
		return VerdictAim
	case r.reaches(r.Least):
		return VerdictHolds
	}
	return VerdictMisses
}

func (r Row) reaches(target float64) bool {
	if r.Lower {
		return *r.Value <= target
	}
	return *r.Value >= target
}

// Measured returns the figure as text.
func (r Row) Measured() string {
	if r.Value == nil {
		return "–"
	}
	return Figure{Value: *r.Value, Unit: r.Unit}.Text()
}

// Bound returns a target as text.
func (r Row) Bound(target float64) string {
	sign := "≥ "
	if r.Lower {
		sign = "≤ "
	}
	return sign + fmt.Sprintf("%v", target) + unit(r.Unit)
}
