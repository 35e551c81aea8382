package main

import (
	"cmp"
	"slices"
)

// curve is a line of the plot.
type curve struct {
	name   string
	points []point
}

type point struct {
	connections int
	rate, p99   float64 // a second; in ms
}

// draw adds one of these sides, at different connections.
func (b *bench) draw(name string, sides []*side) {
	c := curve{name: name}
	wanted := b.mode.plotted()
	for _, s := range sides {
		if slices.Contains(wanted, s.connections) {
			c.points = append(c.points, point{s.connections, s.of(rate).value, s.of(p99).value})
		}
	}
	slices.SortFunc(c.points, func(a, b point) int { return cmp.Compare(a.connections, b.connections) })
	b.report.curves = append(b.report.curves, c)
}
