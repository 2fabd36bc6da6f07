package bench

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
)

// seriesPlots draws one plot for each panel of the result, over the time.
func (r *Result) seriesPlots() []func() (*plot.Plot, error) {
	var panels []string
	members := make(map[string][]Series)
	for _, s := range r.Series {
		if members[s.Panel] == nil {
			panels = append(panels, s.Panel)
		}
		members[s.Panel] = append(members[s.Panel], s)
	}
	var draws []func() (*plot.Plot, error)
	for _, panel := range panels {
		draws = append(draws, func() (*plot.Plot, error) { return seriesPlot(panel+": "+r.Title, members[panel]) })
	}
	return draws
}

// seriesPlot draws a line for each series.
func seriesPlot(title string, series []Series) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "seconds", series[0].Unit
	p.Y.Min = 0
	var lines []any
	for _, s := range series {
		points := make(plotter.XYs, len(s.Readings))
		for i, reading := range s.Readings {
			points[i] = plotter.XY{X: reading.At, Y: reading.Value}
		}
		lines = append(lines, s.Name, points)
	}
	p.Legend.Top, p.Legend.Left = true, true
	return p, plotutil.AddLines(p, lines...)
}
