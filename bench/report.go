package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is the output of `roost bench`.
type Report struct {
	Started time.Time `json:"started"`
	Version string    `json:"version"`
	Command string    `json:"command"`
	Machine Machine   `json:"machine"`
	Results []Result  `json:"results"`
	Rows    []Row     `json:"rows,omitempty"` // against the targets; only after all scenarios
}

// Machine describes the machine of the measurements.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// ThisMachine describes this machine.
func ThisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: "unknown", Kernel: "unknown"}
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if data, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(data))
	}
	return m
}

// Err joins the errors of the checks of all results.
func (r *Report) Err() error {
	var all []error
	for _, result := range r.Results {
		if err := result.Check.Err(); err != nil {
			all = append(all, fmt.Errorf("%s: %w", result.Title, err))
		}
	}
	return errors.Join(all...)
}

// WriteJSON writes the report for machines; [ReadReport] reads it.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// ReadReport reads the output of WriteJSON.
func ReadReport(in io.Reader) (*Report, error) {
	var r Report
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		return nil, fmt.Errorf("failed to read the report: %w", err)
	}
	return &r, nil
}

// WriteTable writes the report for a terminal.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := range r.Results {
		r.Results[i].write(t)
	}
	if len(r.Rows) > 0 {
		fmt.Fprintln(t, "figure\tmeasured\tat least\taim\tverdict")
		for _, row := range r.Rows {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", row.Figure, row.Measured(), row.Bound(row.Least), row.Bound(row.Aim), row.Verdict())
		}
	}
	return t.Flush()
}

func (r *Result) write(w io.Writer) {
	fmt.Fprintf(w, "%s\n", r.Title)
	for _, f := range r.Figures {
		fmt.Fprintf(w, "  %s\t%s\n", f.Name, f.Text())
	}
	for _, name := range sortedNames(r.Latency) {
		l := r.Latency[name]
		fmt.Fprintf(w, "  %s\tp50 %.2f  p99 %.2f  p99.9 %.2f  max %.2f ms\n", name, l.P50, l.P99, l.P999, l.Max)
	}
	if c := r.Check; c.Sent > 0 || c.Err() != nil {
		fmt.Fprintf(w, "  messages\t%s\n", c.text())
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "  %s\n", note)
	}
	if f := r.Flatness; f != nil {
		fmt.Fprintf(w, "  %s, by readings after a warm-up of %g s:\n", f.Verdict(), f.Warmup)
		for _, b := range f.Bounds {
			mark := " "
			if slices.Contains(f.Reasons, b) {
				mark = "!"
			}
			fmt.Fprintf(w, "  %s %s\n", mark, b)
		}
	}
	fmt.Fprintln(w)
}

// text returns the check in one line: the main counts, and the others that are not zero.
func (c Check) text() string {
	text := fmt.Sprintf("%d accepted, %d arrived, %d missing, %d duplicate, %d corrupt", c.Accepted, c.Arrived, c.Missing, c.Duplicates, c.Corrupt)
	for _, part := range []struct {
		n    int64
		name string
	}{{c.Late, "late"}, {c.OutOfOrder, "out of order"}, {c.Repeated, "redelivered before the acknowledgement"}, {c.Refused, "refused"}, {c.Unanswered, "unanswered"}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %d %s", part.n, part.name)
		}
	}
	return text
}

// Text returns the figure with its unit.
func (f Figure) Text() string { return number(f.Value) + unit(f.Unit) }

func unit(u string) string {
	if u == "" || u == "%" || strings.HasPrefix(u, "/") {
		return u
	}
	return " " + u
}

// number prints about four digits, large numbers with separators.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a < 0.1:
		return fmt.Sprintf("%.4f", v)
	case a < 10:
		return fmt.Sprintf("%.3f", v)
	case a < 1000:
		return fmt.Sprintf("%.1f", v)
	}
	digits := fmt.Sprintf("%.0f", math.Abs(v))
	var b strings.Builder
	if v < 0 {
		b.WriteByte('-')
	}
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

func sortedNames(m map[string]Latency) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
