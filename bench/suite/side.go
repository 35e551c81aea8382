package suite

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/measure"
	"hoko.to/edge/bench/report"
	"hoko.to/edge/bench/stage"
)

// side is one of the systems that are compared, under one load.
type side struct {
	name        string
	connections int               // or clients of pgbench
	servers     []measure.Process // whose CPU counts, in addition to the client's
	edge        *stage.Edge       // for profiles; may be nil
	driver      driver
	samples     []sample // one per round
}

// driver generates the load of a side.
type driver interface {
	// check returns an error if a request does not get the expected response.
	check(ctx context.Context) error
	// extend doubles the measured time of later calls of drive.
	extend()
	// drive calls begin when the warm-up ends and end when the measured time ends.
	drive(ctx context.Context, begin, end func() error) (outcome, error)
}

// outcome is what the client measured.
type outcome struct {
	requests  int     // with the expected response
	seconds   float64 // the measured time
	latency   load.Latency
	errors    map[string]int // by kind
	client    string         // name of the client process
	clientCPU time.Duration
}

// sample is the measurement of a side in one round.
type sample struct {
	outcome
	cpu        map[string]time.Duration // by process, including the client
	redisCalls int
}

// rate returns requests per second.
func rate(s sample) float64 { return float64(s.requests) / s.seconds }

// cpuOf returns a function for the CPU time of the named processes in µs per request.
func cpuOf(names ...string) func(sample) float64 {
	return func(s sample) float64 {
		var sum time.Duration
		for _, name := range names {
			sum += s.cpu[name]
		}
		return float64(sum.Nanoseconds()) / 1e3 / float64(s.requests)
	}
}

func p50(s sample) float64     { return milliseconds(s.latency.P50) }
func p99(s sample) float64     { return milliseconds(s.latency.P99) }
func p999(s sample) float64    { return milliseconds(s.latency.P999) }
func longest(s sample) float64 { return milliseconds(s.latency.Max) }

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// figure returns a quantity of the side over all rounds.
func (s *side) figure(quantity func(sample) float64) report.Figure {
	return compare(s, s, func(a, _ sample) float64 { return quantity(a) })
}

// compare compares two sides round by round, because only samples of one round were measured under
// the same conditions.
func compare(a, b *side, f func(a, b sample) float64) report.Figure {
	values := make([]float64, min(len(a.samples), len(b.samples)))
	for i := range values {
		values[i] = f(a.samples[i], b.samples[i])
	}
	return report.FigureOf(values)
}

// ratio returns a quantity of a divided by that of b.
func ratio(a, b *side, quantity func(sample) float64) report.Figure {
	return compare(a, b, func(a, b sample) float64 { return quantity(a) / quantity(b) })
}

// lowest returns the side with the lowest median of a quantity.
func lowest(sides []*side, quantity func(sample) float64) *side {
	return slices.MinFunc(sides, func(a, b *side) int {
		return cmp.Compare(a.figure(quantity).Value, b.figure(quantity).Value)
	})
}

// fastest returns the side with the highest rate.
func fastest(sides []*side) *side {
	return lowest(sides, func(s sample) float64 { return -rate(s) })
}

// alternate measures the sides in turn (A B A B …) and resets the tables before each measurement.
func (b *Bench) alternate(ctx context.Context, rounds int, sides ...*side) error {
	return b.alternateWith(ctx, rounds, b.Stage.Database.Reset, sides...)
}

// alternateWith is alternate with another reset.
func (b *Bench) alternateWith(
	ctx context.Context, rounds int, reset func(context.Context) error, sides ...*side,
) error {
	for _, s := range sides {
		if err := s.driver.check(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for round := range rounds {
		for _, s := range sides {
			if err := reset(ctx); err != nil {
				return err
			}
			sample, err := b.measure(ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			s.samples = append(s.samples, sample)
			b.progress("%d/%d  %-40s %3d connections  %8.0f/s  p99 %.2f ms%s",
				round+1, rounds, s.name, s.connections, rate(sample), p99(sample), errorSummary(sample.errors))
		}
	}
	return nil
}

// measure doubles the measured time and tries again if there was no response at all, because a busy
// machine may send none within a short round.
func (b *Bench) measure(ctx context.Context, s *side) (got sample, err error) {
	for range 6 {
		if got, err = b.measureOnce(ctx, s); err != nil || got.requests > 0 || len(got.errors) > 0 {
			break
		}
		s.driver.extend()
	}
	if err == nil && got.requests == 0 {
		err = fmt.Errorf("no request got the expected response%s", errorSummary(got.errors))
	}
	return got, err
}

func (b *Bench) measureOnce(ctx context.Context, s *side) (sample, error) {
	var before, after measure.CPU
	var callsBefore, callsAfter int
	take := func(cpu *measure.CPU, calls *int) func() error {
		return func() (err error) {
			if *calls, err = b.Stage.RedisCalls(ctx); err != nil {
				return err
			}
			*cpu, err = measure.Snapshot(s.servers...)
			return err
		}
	}
	begin, end := take(&before, &callsBefore), take(&after, &callsAfter)
	if b.Profile != "" && s.edge != nil {
		var wait func()
		begin, wait = b.withProfiles(ctx, s, begin)
		defer wait()
	}
	out, err := s.driver.drive(ctx, begin, end)
	if err != nil {
		return sample{}, err
	}
	used := after.Sub(before)
	used[out.client] += out.clientCPU
	return sample{outcome: out, cpu: used, redisCalls: callsAfter - callsBefore}, nil
}

// errorSummary lists the kinds of errors, the most frequent first. Each is preceded by a semicolon.
func errorSummary(errors map[string]int) (text string) {
	names := slices.SortedFunc(maps.Keys(errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(errors[b], errors[a]), cmp.Compare(a, b))
	})
	for _, name := range names {
		text += fmt.Sprintf("; %d × %s", errors[name], name)
	}
	return text
}

// withProfiles returns a begin function that also profiles the measured time, and a function that
// waits until the profiles are written. Errors are only printed.
func (b *Bench) withProfiles(ctx context.Context, s *side, begin func() error) (profiled func() error, wait func()) {
	file := fmt.Sprintf("%s-%d-%d", s.name, s.connections, len(s.samples)+1)
	file = filepath.Join(b.Profile, strings.NewReplacer(" ", "-", "/", "-").Replace(file))
	seconds := max(1, int(s.spec().Duration.Seconds()))
	save := func(extension, path string) {
		profile, err := s.edge.Admin(ctx, path)
		if err == nil {
			err = os.WriteFile(file+extension, profile, 0o644)
		}
		if err != nil {
			b.progress("cannot write the profile %s%s: %v", file, extension, err)
		}
	}
	var saved sync.WaitGroup
	profiled = func() error {
		saved.Go(func() {
			save(".cpu.pprof", fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds))
			save(".allocs.pprof", "/debug/pprof/allocs")
		})
		return begin()
	}
	return profiled, saved.Wait
}
