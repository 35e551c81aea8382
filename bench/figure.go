package main

import "hoko.to/edge/bench/measure"

// figure is a median over rounds, and the least and the most of them.
type figure struct{ value, low, high float64 }

func figureOf(values []float64) figure {
	low, high := measure.Spread(values)
	return figure{measure.Median(values), low, high}
}

// of is a figure of one side.
func (s *side) of(quantity func(sample) float64) figure {
	values := make([]float64, len(s.samples))
	for i, sample := range s.samples {
		values[i] = quantity(sample)
	}
	return figureOf(values)
}

// between compares two sides round by round, as both saw the same machine then.
func between(one, other *side, compare func(a, b sample) float64) figure {
	values := make([]float64, min(len(one.samples), len(other.samples)))
	for i := range values {
		values[i] = compare(one.samples[i], other.samples[i])
	}
	return figureOf(values)
}

// ratio is how many times the other's quantity one has.
func ratio(one, other *side, quantity func(sample) float64) figure {
	return between(one, other, func(a, b sample) float64 { return quantity(a) / quantity(b) })
}
