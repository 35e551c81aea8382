package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Sizes of the plot in pixels.
const (
	plotWidth, plotHeight = 860, 380
	panelWidth            = 320
	panelTop, panelBottom = 50, 310
)

// colors are legible on white and on black.
var colors = []string{"#2f81f7", "#d9730d", "#8957e5", "#2da44e"}

const plotTitle = "Sales per second and p99 latency by number of connections"

const plotHead = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d"
 font-family="system-ui, sans-serif" font-size="12">
<title>` + plotTitle + `</title>
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

// Point is the measurement at a number of connections.
type Point struct {
	Connections int
	Rate        float64 // sales per second
	P99         float64 // ms
}

// plot returns an SVG with one panel for sales per second and one for p99.
func plot(curves []Curve) string {
	var svg strings.Builder
	fmt.Fprintf(&svg, plotHead, plotWidth, plotHeight)
	points := allPoints(curves)
	x := xAxis(points)
	throughput := panel{70, "sales per second", x, linear(points), func(p Point) float64 { return p.Rate }}
	latency := panel{500, "p99 latency in ms", x, logarithmic(points), func(p Point) float64 { return p.P99 }}
	throughput.write(&svg, curves)
	latency.write(&svg, curves)
	writeLegend(&svg, curves)
	svg.WriteString("</svg>\n")
	return svg.String()
}

type panel struct {
	left     float64
	title    string
	x        []int // numbers of connections, drawn at equal distances
	y        scale
	quantity func(Point) float64
}

// scale maps a quantity to a position between 0 (bottom) and 1 (top).
type scale struct {
	position func(float64) float64
	ticks    []float64
}

func allPoints(curves []Curve) (points []Point) {
	for _, c := range curves {
		points = append(points, c.Points...)
	}
	return points
}

func xAxis(points []Point) (x []int) {
	for _, p := range points {
		x = append(x, p.Connections)
	}
	slices.Sort(x)
	return slices.Compact(x)
}

// linear returns a scale for rates. It begins at zero and has up to five steps of a round number.
func linear(points []Point) scale {
	highest := 1.0
	for _, p := range points {
		highest = max(highest, p.Rate)
	}
	step := roundUp(highest / 5)
	top := math.Ceil(highest/step) * step
	s := scale{position: func(v float64) float64 { return v / top }}
	for v := 0.0; v <= top+step/2; v += step {
		s.ticks = append(s.ticks, v)
	}
	return s
}

// roundUp returns the next 1, 2 or 5 times a power of ten.
func roundUp(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= v {
			return factor * power
		}
	}
	return 10 * power
}

// logarithmic returns a scale for p99 between two powers of ten.
func logarithmic(points []Point) scale {
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range points {
		exponent := math.Log10(max(p.P99, 0.001))
		low, high = min(low, math.Floor(exponent)), max(high, math.Ceil(exponent))
	}
	if low >= high {
		low, high = min(low, high)-1, max(low, high)
	}
	if math.IsInf(low, 0) {
		low, high = 0, 1
	}
	s := scale{position: func(v float64) float64 { return (math.Log10(max(v, 0.001)) - low) / (high - low) }}
	for e := low; e <= high; e++ {
		s.ticks = append(s.ticks, math.Pow(10, e))
	}
	return s
}

func (p panel) write(svg *strings.Builder, curves []Curve) {
	const centered = "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\"%s>%s</text>\n"
	right, middle := p.left+panelWidth, p.left+panelWidth/2
	fmt.Fprintf(svg, centered, middle, panelTop-20, ` font-size="14"`, p.title)
	for _, tick := range p.y.ticks {
		y := p.yOf(tick)
		fmt.Fprintf(svg, "<line class=\"grid\" x1=\"%.0f\" y1=\"%.1f\" x2=\"%.0f\" y2=\"%.1f\"/>", p.left, y, right, y)
		fmt.Fprintf(svg, "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", p.left-8, y+4, tickLabel(tick))
	}
	for i, connections := range p.x {
		fmt.Fprintf(svg, centered, p.xOf(i), panelBottom+18, "", fmt.Sprint(connections))
	}
	fmt.Fprintf(svg, centered, middle, panelBottom+36, "", "connections")
	fmt.Fprintf(svg, "<line class=\"axis\" x1=\"%.0f\" y1=\"%d\" x2=\"%.0f\" y2=\"%d\"/>\n",
		p.left, panelBottom, right, panelBottom)
	for i, c := range curves {
		p.writeCurve(svg, c, colors[i%len(colors)])
	}
}

func (p panel) writeCurve(svg *strings.Builder, c Curve, color string) {
	var path strings.Builder
	for _, point := range c.Points {
		x, y := p.xOf(slices.Index(p.x, point.Connections)), p.yOf(p.quantity(point))
		fmt.Fprintf(&path, " %.1f,%.1f", x, y)
		fmt.Fprintf(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x, y, color)
	}
	points := strings.TrimSpace(path.String())
	fmt.Fprintf(svg, "<polyline class=\"line\" stroke=\"%s\" points=\"%s\"/>\n", color, points)
}

func (p panel) xOf(i int) float64 {
	return p.left + panelWidth*(float64(i)+0.5)/float64(len(p.x))
}

func (p panel) yOf(v float64) float64 {
	return panelBottom - (panelBottom-panelTop)*p.y.position(v)
}

// tickLabel returns a short text such as 20k or 0.1.
func tickLabel(v float64) string {
	if v >= 10_000 {
		return fmt.Sprintf("%gk", v/1000)
	}
	return fmt.Sprintf("%g", v)
}

func writeLegend(svg *strings.Builder, curves []Curve) {
	x := 70
	for i, c := range curves {
		color := colors[i%len(colors)]
		fmt.Fprintf(svg, "<rect x=\"%d\" y=\"%d\" width=\"14\" height=\"4\" fill=\"%s\"/>", x, plotHeight-16, color)
		fmt.Fprintf(svg, "<text x=\"%d\" y=\"%d\">%s</text>\n", x+20, plotHeight-10, c.Name)
		x += 60 + 7*len(c.Name)
	}
}
