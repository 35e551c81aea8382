package report

import (
	"encoding/xml"
	"slices"
	"strings"
	"testing"
)

var twoCurves = []Curve{
	{"edge", []Point{{1, 1500, 0.8}, {64, 21_000, 4}, {256, 29_000, 12}}},
	{"pgbench", []Point{{1, 2500, 0.5}, {64, 14_000, 9}}},
}

func TestPlot_WellFormedWithEveryCurveTwice(t *testing.T) {
	svg := plot(twoCurves)
	if err := xml.Unmarshal([]byte(svg), new(struct{})); err != nil {
		t.Fatalf("%v in\n%s", err, svg)
	}
	if got := strings.Count(svg, "<polyline"); got != 2*len(twoCurves) {
		t.Errorf("%d lines, want %d", got, 2*len(twoCurves))
	}
	texts := []string{"sales per second", "p99 latency in ms", "connections", "256", "30k", "edge", "pgbench"}
	for _, text := range texts {
		if !strings.Contains(svg, ">"+text+"<") {
			t.Errorf("the plot has no text %q", text)
		}
	}
}

func TestScale_HoldsEveryPoint(t *testing.T) {
	for _, curves := range [][]Curve{nil, twoCurves, {{"one", []Point{{1, 7, 1}}}}, {{"none", []Point{{1, 0, 0}}}}} {
		points := allPoints(curves)
		for _, p := range points {
			rate, p99 := linear(points).position(p.Rate), logarithmic(points).position(p.P99)
			if !(rate >= 0 && rate <= 1 && p99 >= 0 && p99 <= 1) { // also if NaN
				t.Errorf("%+v: the rate is at %v and p99 at %v, want 0 to 1", p, rate, p99)
			}
		}
		if err := xml.Unmarshal([]byte(plot(curves)), new(struct{})); err != nil {
			t.Error(err)
		}
	}
}

func TestScale_TicksAreRoundNumbers(t *testing.T) {
	if got, want := linear(allPoints(twoCurves)).ticks, []float64{0, 10_000, 20_000, 30_000}; !slices.Equal(got, want) {
		t.Errorf("ticks %v, want %v", got, want)
	}
	if got, want := logarithmic(allPoints(twoCurves)).ticks, []float64{0.1, 1, 10, 100}; !slices.Equal(got, want) {
		t.Errorf("ticks %v, want %v", got, want)
	}
}
