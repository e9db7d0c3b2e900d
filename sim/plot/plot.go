// Package plot draws the time series of an experiment as SVG: windows, round-trip
// times, queues and goodputs below each other on one time axis.
package plot

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/sluicenet/sluice/sim"
)

// The layout, in pixels.
const (
	width       = 960
	panelHeight = 170
	gap         = 34
	left        = 74
	right       = 180
	top         = 44
	bottom      = 44
	maxLegend   = 9 // lines beside a panel
)

// colors can be told apart by people who do not see all colours (after Okabe and
// Ito).
var colors = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#9a9a00"}

// A line is one series of one panel.
type line struct {
	name   string
	color  string
	dashed bool
	t      []float64 // seconds
	y      []float64
}

// A panel is one diagram.
type panel struct {
	title, unit string
	lines       []line
}

// SVG draws what a network noted (see sim.Config.Sample).
func SVG(w io.Writer, n *sim.Network, title string) error {
	panels, end := collect(n)
	out := bufio.NewWriter(w)
	height := top + len(panels)*(panelHeight+gap) - gap + bottom
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		width, height, width, height)
	fmt.Fprintf(out, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	fmt.Fprintf(out, `<text x="%d" y="24" font-size="16">%s</text>`+"\n", left, html.EscapeString(title))
	for i := range panels {
		panels[i].draw(out, top+i*(panelHeight+gap), end, i == len(panels)-1)
	}
	fmt.Fprintln(out, "</svg>")
	return out.Flush()
}

// collect makes the panels, and returns the end of the time axis.
func collect(n *sim.Network) (panels []panel, end float64) {
	flows, links := n.Series()
	cwnd := panel{title: "cwnd (dashed: ssthresh)", unit: "B"}
	rtt := panel{title: "smoothed RTT", unit: "s"}
	queue := panel{title: "queue", unit: "B"}
	goodput := panel{title: "goodput", unit: "bit/s"}
	all := n.Flows()
	color := func(i int) string { return colors[i%len(colors)] }
	windows, thresholds := make([]line, len(all)), make([]line, len(all))
	rtts, rates := make([]line, len(all)), make([]line, len(all))
	for i, f := range all {
		windows[i] = line{name: f.Name(), color: color(i)}
		thresholds[i] = line{color: color(i), dashed: true}
		rtts[i], rates[i] = windows[i], windows[i]
	}
	for i := range flows {
		s := &flows[i]
		t := time.Duration(s.Time).Seconds()
		end = max(end, t)
		if s.Cwnd > 0 {
			windows[s.Flow].add(t, float64(s.Cwnd))
		}
		if s.Ssthresh > 0 {
			thresholds[s.Flow].add(t, float64(s.Ssthresh))
		}
		if s.SRTT > 0 {
			rtts[s.Flow].add(t, s.SRTT.Seconds())
		}
		if t > 0 {
			rates[s.Flow].add(t, s.Goodput)
		}
	}
	type key struct {
		link int
		back bool
	}
	var order []key
	queues := map[key]*line{}
	for i := range links {
		s := &links[i]
		k := key{s.Link, s.Back}
		l := queues[k]
		if l == nil {
			name := n.Links()[s.Link].Name()
			if s.Back {
				name += " back"
			}
			l = &line{name: name}
			queues[k] = l
			order = append(order, k)
		}
		t := time.Duration(s.Time).Seconds()
		end = max(end, t)
		l.add(t, float64(s.QueueBytes))
	}
	for _, k := range order {
		l := queues[k]
		used := false
		for _, y := range l.y {
			used = used || y > 0
		}
		if used {
			l.color = color(len(queue.lines))
			queue.lines = append(queue.lines, *l)
		}
	}
	for i := range all {
		for _, p := range []struct {
			to   *panel
			line line
		}{{&cwnd, windows[i]}, {&cwnd, thresholds[i]}, {&rtt, rtts[i]}, {&goodput, rates[i]}} {
			if len(p.line.t) > 0 {
				p.to.lines = append(p.to.lines, p.line)
			}
		}
	}
	return []panel{cwnd, rtt, queue, goodput}, max(end, 1e-9)
}

func (l *line) add(t, y float64) {
	l.t = append(l.t, t)
	l.y = append(l.y, y)
}

// draw draws a panel whose upper edge is at y0.
func (p *panel) draw(out *bufio.Writer, y0 int, end float64, last bool) {
	most := 0.0
	for _, l := range p.lines {
		for i, y := range l.y {
			if !l.dashed || y < 1e12 && i > 0 {
				most = max(most, y)
			}
		}
	}
	if len(p.lines) > 0 {
		// A threshold far above every window would flatten these.
		w := 0.0
		for _, l := range p.lines {
			if !l.dashed {
				for _, y := range l.y {
					w = max(w, y)
				}
			}
		}
		most = min(most, 1.2*w)
	}
	ticks, most := axis(most)
	x := func(t float64) float64 { return left + t/end*(width-left-right) }
	y := func(v float64) float64 {
		return float64(y0) + panelHeight*(1-min(v/most, 1.04))
	}
	fmt.Fprintf(out, `<text x="%d" y="%d" font-weight="bold">%s</text>`+"\n", left, y0-6, html.EscapeString(p.title))
	for _, v := range ticks {
		fmt.Fprintf(out, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", left, width-right, y(v), y(v))
		fmt.Fprintf(out, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", left-6, y(v)+4, quantity(v, p.unit))
	}
	times, _ := axis(end)
	for _, t := range times {
		if t > end {
			continue
		}
		fmt.Fprintf(out, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#eee"/>`+"\n", x(t), x(t), y0, y0+panelHeight)
		if last {
			fmt.Fprintf(out, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(t), y0+panelHeight+18, quantity(t, "s"))
		}
	}
	fmt.Fprintf(out, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#888"/>`+"\n", left, y0, width-left-right, panelHeight)
	if last {
		fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="middle">time</text>`+"\n", (left+width-right)/2, y0+panelHeight+36)
	}
	named := 0
	for _, l := range p.lines {
		dash := ""
		if l.dashed {
			dash = ` stroke-dasharray="3 3" stroke-opacity="0.6"`
		}
		fmt.Fprintf(out, `<polyline fill="none" stroke="%s" stroke-width="1.2"%s points="`, l.color, dash)
		l.points(out, x, y)
		fmt.Fprint(out, "\"/>\n")
		if l.name == "" {
			continue
		}
		if named++; named > maxLegend {
			continue
		}
		ly := y0 + 14 + (named-1)*17
		fmt.Fprintf(out, `<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="%s" stroke-width="3"/>`+"\n", width-right+12, width-right+30, ly-4, ly-4, l.color)
		fmt.Fprintf(out, `<text x="%d" y="%d">%s</text>`+"\n", width-right+36, ly, html.EscapeString(l.name))
	}
	if named > maxLegend {
		fmt.Fprintf(out, `<text x="%d" y="%d">and %d more</text>`+"\n", width-right+36, y0+14+maxLegend*17, named-maxLegend)
	}
}

// points writes a line. Of the values that share a column of pixels, it keeps the
// first, the least, the greatest and the last.
func (l *line) points(out *bufio.Writer, x, y func(float64) float64) {
	for i := 0; i < len(l.t); {
		column := math.Floor(x(l.t[i]))
		low, high, j := i, i, i
		for ; j < len(l.t) && math.Floor(x(l.t[j])) == column; j++ {
			if l.y[j] < l.y[low] {
				low = j
			}
			if l.y[j] > l.y[high] {
				high = j
			}
		}
		prev := -1
		for _, k := range []int{i, min(low, high), max(low, high), j - 1} {
			if k > prev {
				fmt.Fprintf(out, "%.1f,%.1f ", x(l.t[k]), y(l.y[k]))
				prev = k
			}
		}
		i = j
	}
}

// axis returns about five round numbers from 0 on, and the end of the axis.
func axis(most float64) (ticks []float64, end float64) {
	if most <= 0 {
		return []float64{0, 1}, 1
	}
	step := math.Pow(10, math.Floor(math.Log10(most/4)))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if most/(step*m) <= 5 {
			step *= m
			break
		}
	}
	for i := 0; ; i++ {
		v := float64(i) * step
		ticks = append(ticks, v)
		if v >= most {
			return ticks, v
		}
	}
}

// quantity prints a value with its unit.
func quantity(v float64, unit string) string {
	if v == 0 {
		return "0"
	}
	prefix := ""
	switch a := math.Abs(v); {
	case a >= 1e9:
		v, prefix = v/1e9, "G"
	case a >= 1e6:
		v, prefix = v/1e6, "M"
	case a >= 1e3:
		v, prefix = v/1e3, "k"
	case a >= 1:
	case a >= 1e-3:
		v, prefix = v*1e3, "m"
	default:
		v, prefix = v*1e6, "µ"
	}
	return strconv.FormatFloat(v, 'g', 4, 64) + " " + prefix + unit
}
