package main

import "fmt"

// bar is what a figure is held against.
type bar struct {
	what      string
	figure    figure
	unit      unit
	must, may bound // bar and hope
}

// bound of a figure; the zero bound holds for any.
type bound struct {
	least, most *float64
}

func atLeast(v float64) bound { return bound{least: &v} }
func atMost(v float64) bound  { return bound{most: &v} }

func (b bound) holds(v float64) bool {
	return (b.least == nil || v >= *b.least) && (b.most == nil || v <= *b.most)
}

func (b bound) isSet() bool { return b.least != nil || b.most != nil }

// in is how a bound reads.
func (b bound) in(u unit) string {
	switch {
	case b.least != nil:
		return "≥ " + u.show(*b.least)
	case b.most != nil:
		return "≤ " + u.show(*b.most)
	}
	return ""
}

// verdict is ok or short; reported where there is no bar.
func (b bar) verdict() string {
	switch {
	case !b.must.isSet():
		return "reported"
	case b.must.holds(b.figure.value):
		return "ok"
	}
	return "short"
}

// hope is what was hoped for, and whether it came true.
func (b bar) hope() string {
	if !b.may.isSet() {
		return ""
	}
	if b.may.holds(b.figure.value) {
		return b.may.in(b.unit) + " ✓"
	}
	return b.may.in(b.unit)
}

// unit says how a number is shown.
type unit string

const (
	times    unit = "%.2f×"
	added    unit = "%+.2f ms"
	nanos    unit = "%.0f ns"
	count    unit = "%.0f"
	share    unit = "%.2f"
	megabyte unit = "%.1f MB"
	millis   unit = "%.2f ms"
)

func (u unit) show(v float64) string { return fmt.Sprintf(string(u), v) }

// spread is the least and the most of all rounds.
func (u unit) spread(f figure) string {
	if f.low == f.high {
		return ""
	}
	return u.show(f.low) + " – " + u.show(f.high)
}

// judge adds a bar to the report.
func (b *bench) judge(what string, f figure, u unit, must, may bound) {
	b.report.bars = append(b.report.bars, bar{what, f, u, must, may})
}

var none bound
