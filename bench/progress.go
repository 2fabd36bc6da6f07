package bench

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Bar returns a Progress that draws a bar, and a function that removes it.
func Bar(w io.Writer) (Progress, func()) {
	var bar *progressbar.ProgressBar
	var shown string
	var of int
	clear := func() {
		if bar != nil {
			_ = bar.Clear() // it is decoration
		}
	}
	return func(what string, done, total int) {
		if bar == nil || what != shown || total != of {
			clear()
			shown, of = what, total
			if total == 0 {
				total = -1 // the total is unknown
			}
			bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
				progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		}
		_ = bar.Set(done)
	}, clear
}
