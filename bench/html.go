package bench

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

var page = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>roost bench</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .2em .8em; border-bottom: 1px solid #ddd; text-align: left }
td.n { text-align: right; font-variant-numeric: tabular-nums } .misses, .wrong { color: #b00; font-weight: 600 }
svg { max-width: 100%; height: auto } h2 { font-size: 1.1em; margin-top: 2em } .quiet { color: #777 }
</style>
<h1>roost bench</h1>
<p>{{.Report.Started.Format "2006-01-02 15:04 MST"}}, roost {{.Report.Version}}, {{.Report.Machine.Cores}} × {{.Report.Machine.CPU}},
Linux {{.Report.Machine.Kernel}}, {{.Report.Machine.Go}}<br><code>roost {{.Report.Command}}</code></p>
{{with .Wrong}}<p class="wrong">{{.}}</p>{{end}}
{{if .Report.Rows}}<table><tr><th>figure<th>measured<th>at least<th>aim<th>verdict</tr>
{{range .Report.Rows}}<tr><td>{{.Figure}}<td class="n">{{.Measured}}<td class="n">{{.Bound .Least}}<td class="n">{{.Bound .Aim}}<td class="{{.Verdict}}">{{.Verdict}}</tr>
{{end}}</table>{{end}}
{{range .Plots}}{{.}}
{{end}}
{{range .Report.Results}}<h2>{{.Title}}</h2><table>
{{range .Figures}}<tr><td>{{.Name}}<td class="n">{{.Text}}</tr>
{{end}}{{range $name, $l := .Latency}}<tr><td>{{$name}}<td class="n">p50 {{printf "%.2f" $l.P50}} · p99 {{printf "%.2f" $l.P99}} · p99.9 {{printf "%.2f" $l.P999}} · max {{printf "%.2f" $l.Max}} ms</tr>
{{end}}{{if .Check.Sent}}<tr><td>messages<td>{{.CheckText}}</tr>{{end}}</table>
{{range .Notes}}<p class="quiet">{{.}}</p>{{end}}
{{with .Flatness}}<p{{if not .Flat}} class="wrong"{{end}}>{{.Verdict}}, by readings after a warm-up of {{.Warmup}} s</p>
<ul>{{range .Bounds}}<li>{{.}}{{end}}</ul>{{with .Reasons}}<p class="wrong">{{range .}}{{.}}<br>{{end}}</p>{{end}}{{end}}
{{end}}
`))

// CheckText returns the check in one line.
func (r Result) CheckText() string { return r.Check.text() }

// WriteHTML writes the report as one page without other files.
func (r *Report) WriteHTML(w io.Writer) error {
	var plots []template.HTML
	draws := []func() (*plot.Plot, error){r.rowsPlot, r.latencyPlot, r.throughputPlot}
	for i := range r.Results {
		draws = append(draws, r.Results[i].seriesPlots()...)
	}
	for _, draw := range draws {
		p, err := draw()
		if err != nil {
			return fmt.Errorf("failed to draw the report: %w", err)
		}
		if p == nil {
			continue
		}
		svg, err := inline(p)
		if err != nil {
			return fmt.Errorf("failed to draw the report: %w", err)
		}
		plots = append(plots, svg)
	}
	wrong := ""
	if err := r.Err(); err != nil {
		wrong = err.Error()
	}
	return page.Execute(w, map[string]any{"Report": r, "Plots": plots, "Wrong": wrong})
}

// inline returns a plot as an SVG element.
func inline(p *plot.Plot) (template.HTML, error) {
	to, err := p.WriterTo(9*vg.Inch, 4*vg.Inch, "svg")
	if err != nil {
		return "", err
	}
	var buf bytes.Buffer
	if _, err := to.WriteTo(&buf); err != nil {
		return "", err
	}
	svg := buf.Bytes()
	if at := bytes.Index(svg, []byte("<svg")); at > 0 {
		svg = svg[at:] // the XML declaration has no place within a page
	}
	return template.HTML(svg), nil // of the plot library, which escapes texts
}

// latencyPlot draws a line for each distribution; it returns nil without any.
func (r *Report) latencyPlot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = "Latency, end to end", "percentile", "ms"
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.X.Tick.Marker = percentileTicks()
	var lines []any
	for _, result := range r.Results {
		l, ok := result.Latency[LatencyEndToEnd]
		if !ok {
			continue
		}
		points := make(plotter.XYs, len(l.Curve))
		for i, at := range l.Curve {
			points[i] = plotter.XY{X: nines(at.Percent), Y: math.Max(at.MS, 0.001)}
		}
		lines = append(lines, result.Title, points)
	}
	if len(lines) == 0 {
		return nil, nil
	}
	p.Legend.Top, p.Legend.Left = true, true
	return p, plotutil.AddLines(p, lines...)
}

// nines spreads percentiles so that 90, 99 and 99.9 are at equal distances.
func nines(percent float64) float64 { return -math.Log10(1 - percent/100) }

func percentileTicks() plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, p := range []float64{1, 50, 90, 99, 99.9, 99.99} {
		ticks = append(ticks, plot.Tick{Value: nines(p), Label: fmt.Sprint(p)})
	}
	return ticks
}

// throughputPlot draws a bar for each scenario that counts messages; it returns nil without
// any.
func (r *Report) throughputPlot() (*plot.Plot, error) {
	var values plotter.Values
	var names []string
	for _, result := range r.Results {
		for _, name := range []string{FigureDelivered, FigurePublishes} {
			if v, ok := result.Figure(name); ok {
				values, names = append(values, v), append(names, result.Title)
			}
		}
	}
	return bars("Messages a second", values, names, nil)
}

// rowsPlot draws each row as a share of its target; it returns nil without a table.
func (r *Report) rowsPlot() (*plot.Plot, error) {
	var values plotter.Values
	var names []string
	for _, row := range r.Rows {
		if row.Value == nil || *row.Value <= 0 {
			continue
		}
		share := *row.Value / row.Least
		if row.Lower {
			share = row.Least / *row.Value
		}
		values, names = append(values, math.Min(share, 4)), append(names, row.Figure)
	}
	reached := 1.0
	return bars("Figures as multiples of “at least” (more is better, cut at 4)", values, names, &reached)
}

// bars draws a plot of horizontal bars, the first on top, with a line at a target.
func bars(title string, values plotter.Values, names []string, target *float64) (*plot.Plot, error) {
	if len(values) == 0 {
		return nil, nil
	}
	n := len(values)
	turned, labels := make(plotter.Values, n), make([]string, n)
	for i := range values {
		turned[n-1-i], labels[n-1-i] = values[i], names[i]
	}
	p := plot.New()
	p.Title.Text, p.X.Min = title, 0
	chart, err := plotter.NewBarChart(turned, vg.Points(math.Min(14, 180/float64(n))))
	if err != nil {
		return nil, err
	}
	chart.Horizontal, chart.Color, chart.LineStyle.Width = true, color.RGBA{R: 60, G: 110, B: 180, A: 255}, 0
	p.Add(chart)
	if target != nil {
		line, err := plotter.NewLine(plotter.XYs{{X: *target, Y: -0.5}, {X: *target, Y: float64(n) - 0.5}})
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = color.RGBA{R: 190, A: 255}, vg.Points(1.5)
		p.Add(line)
	}
	p.NominalY(labels...)
	return p, nil
}
