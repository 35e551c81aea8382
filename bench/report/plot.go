package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// The plot's measures, in pixels.
const (
	plotWidth, plotHeight = 860, 380
	panelWidth            = 320
	panelTop, panelBottom = 50, 310
)

// colours are legible on white and on black alike.
var colours = []string{"#2f81f7", "#d9730d", "#8957e5", "#2da44e"}

const plotHead = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12">
<title>Sales a second and p99 latency over connections</title>
<style>
text { fill: #1f2328 } .grid { stroke: #d1d9e0 } .axis { stroke: #59636e } .line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .grid { stroke: #3d444d } .axis { stroke: #9198a1 } }
</style>
`

// Curve is a line of the plot.
type Curve struct {
	Name   string
	Points []Point
}

// Point is what was measured at some connections.
type Point struct {
	Connections int
	Rate, P99   float64 // a second; in ms
}

// plot draws sales a second and p99 over connections.
func plot(curves []Curve) string {
	var svg strings.Builder
	fmt.Fprintf(&svg, plotHead, plotWidth, plotHeight)
	x := xAxis(curves)
	throughput := panel{left: 70, title: "sales a second", x: x, y: linear(curves), quantity: func(p Point) float64 { return p.Rate }}
	latency := panel{left: 500, title: "p99 latency in ms", x: x, y: logarithmic(curves), quantity: func(p Point) float64 { return p.P99 }}
	throughput.write(&svg, curves)
	latency.write(&svg, curves)
	writeLegend(&svg, curves)
	svg.WriteString("</svg>\n")
	return svg.String()
}

// panel is one of the two diagrams.
type panel struct {
	left     float64
	title    string
	x        []int // connections, at even distances
	y        scale
	quantity func(Point) float64
}

// scale maps a quantity to 0 … 1, and has ticks.
type scale struct {
	at    func(float64) float64
	ticks []float64
}

func xAxis(curves []Curve) (x []int) {
	for _, c := range curves {
		for _, p := range c.Points {
			x = append(x, p.Connections)
		}
	}
	slices.Sort(x)
	return slices.Compact(x)
}

// linear begins at zero, and has up to five ticks at round numbers.
func linear(curves []Curve) scale {
	most := 1.0
	for _, c := range curves {
		for _, p := range c.Points {
			most = max(most, p.Rate)
		}
	}
	step := roundStep(most / 5)
	top := math.Ceil(most/step) * step
	s := scale{at: func(v float64) float64 { return v / top }}
	for v := 0.0; v <= top+step/2; v += step {
		s.ticks = append(s.ticks, v)
	}
	return s
}

// roundStep is 1, 2 or 5 times a power of ten, and no less than asked for.
func roundStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= least {
			return factor * power
		}
	}
	return 10 * power
}

// logarithmic reaches from one power of ten to another.
func logarithmic(curves []Curve) scale {
	low, high := math.Inf(1), math.Inf(-1)
	for _, c := range curves {
		for _, p := range c.Points {
			exponent := math.Log10(max(p.P99, 0.001))
			low, high = min(low, math.Floor(exponent)), max(high, math.Ceil(exponent))
		}
	}
	if low >= high {
		low, high = min(low, high)-1, max(low, high)
	}
	if math.IsInf(low, 0) {
		low, high = 0, 1
	}
	s := scale{at: func(v float64) float64 { return (math.Log10(max(v, 0.001)) - low) / (high - low) }}
	for e := low; e <= high; e++ {
		s.ticks = append(s.ticks, math.Pow(10, e))
	}
	return s
}

func (p panel) write(svg *strings.Builder, curves []Curve) {
	right, middle := p.left+panelWidth, p.left+panelWidth/2
	fmt.Fprintf(svg, "<text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\" font-size=\"14\">%s</text>\n", middle, panelTop-20, p.title)
	for _, tick := range p.y.ticks {
		y := p.yOf(tick)
		fmt.Fprintf(svg, "<line class=\"grid\" x1=\"%.0f\" y1=\"%.1f\" x2=\"%.0f\" y2=\"%.1f\"/><text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
			p.left, y, right, y, p.left-8, y+4, tickLabel(tick))
	}
	for i, connections := range p.x {
		fmt.Fprintf(svg, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%d</text>\n", p.xOf(i), panelBottom+18, connections)
	}
	fmt.Fprintf(svg, "<text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\">connections</text>\n", middle, panelBottom+36)
	fmt.Fprintf(svg, "<line class=\"axis\" x1=\"%.0f\" y1=\"%d\" x2=\"%.0f\" y2=\"%d\"/>\n", p.left, panelBottom, right, panelBottom)
	for i, c := range curves {
		p.writeCurve(svg, c, colours[i%len(colours)])
	}
}

func (p panel) writeCurve(svg *strings.Builder, c Curve, colour string) {
	var path strings.Builder
	for _, point := range c.Points {
		x, y := p.xOf(slices.Index(p.x, point.Connections)), p.yOf(p.quantity(point))
		fmt.Fprintf(&path, " %.1f,%.1f", x, y)
		fmt.Fprintf(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x, y, colour)
	}
	fmt.Fprintf(svg, "<polyline class=\"line\" stroke=\"%s\" points=\"%s\"/>\n", colour, strings.TrimSpace(path.String()))
}

func (p panel) xOf(i int) float64 {
	return p.left + panelWidth*(float64(i)+0.5)/float64(len(p.x))
}

func (p panel) yOf(v float64) float64 {
	return panelBottom - (panelBottom-panelTop)*p.y.at(v)
}

// tickLabel is short: 20k, 0.1.
func tickLabel(v float64) string {
	if v >= 10_000 {
		return fmt.Sprintf("%gk", v/1000)
	}
	return fmt.Sprintf("%g", v)
}

func writeLegend(svg *strings.Builder, curves []Curve) {
	x := 70
	for i, c := range curves {
		colour := colours[i%len(colours)]
		fmt.Fprintf(svg, "<rect x=\"%d\" y=\"%d\" width=\"14\" height=\"4\" fill=\"%s\"/><text x=\"%d\" y=\"%d\">%s</text>\n", x, plotHeight-16, colour, x+20, plotHeight-10, c.Name)
		x += 60 + 7*len(c.Name)
	}
}
