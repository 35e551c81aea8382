package report

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

var twoCurves = []Curve{
	{"edge", []Point{{1, 1500, 0.8}, {64, 21_000, 4}, {256, 29_000, 12}}},
	{"pgbench", []Point{{1, 2500, 0.5}, {64, 14_000, 9}}},
}

func TestAPlotIsWellFormedAndHasEveryCurveTwice(t *testing.T) {
	svg := plot(twoCurves)
	if err := wellFormed(svg); err != nil {
		t.Fatalf("%v in\n%s", err, svg)
	}
	if got := strings.Count(svg, "<polyline"); got != 2*len(twoCurves) {
		t.Errorf("%d lines", got)
	}
	for _, text := range []string{">sales a second<", ">p99 latency in ms<", ">connections<", ">256<", ">30k<", ">edge<", ">pgbench<"} {
		if !strings.Contains(svg, text) {
			t.Errorf("no %s", text)
		}
	}
}

func wellFormed(text string) error {
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestAxesHoldEveryPoint(t *testing.T) {
	for _, curves := range [][]Curve{nil, twoCurves, {{"one", []Point{{1, 7, 1}}}}, {{"none", []Point{{1, 0, 0}}}}} {
		for _, c := range curves {
			for _, p := range c.Points {
				for name, at := range map[string]float64{"rate": linear(curves).at(p.Rate), "p99": logarithmic(curves).at(p.P99)} {
					if math.IsNaN(at) || at < 0 || at > 1 {
						t.Errorf("%s of %+v is at %v", name, p, at)
					}
				}
			}
		}
		if err := wellFormed(plot(curves)); err != nil {
			t.Error(err)
		}
	}
}

func TestTicksAreRoundNumbers(t *testing.T) {
	if got, want := linear(twoCurves).ticks, []float64{0, 10_000, 20_000, 30_000}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := logarithmic(twoCurves).ticks, []float64{0.1, 1, 10, 100}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
