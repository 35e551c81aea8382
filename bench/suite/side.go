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

// side is one of the things that are measured against each other.
type side struct {
	name        string
	connections int
	servers     []measure.Process // whose CPU counts, the client's aside
	edge        *stage.Edge       // whose profiles are saved; may be nil
	driver      driver
	samples     []sample // one a round
}

// driver has requests sent for a while. It calls begin when the warm-up is over
// and end when no more requests count.
type driver interface {
	// try does it once, so that nothing is measured that does something else.
	try(ctx context.Context) error
	// longer makes later drives take twice as long.
	longer()
	drive(ctx context.Context, begin, end func() error) (outcome, error)
}

// outcome is what the sender of requests saw.
type outcome struct {
	requests int // answered as expected
	seconds  float64
	latency  load.Latency
	errors   map[string]int
	client   string        // what sent them
	spent    time.Duration // its CPU
}

// sample is what one side did in one round.
type sample struct {
	outcome
	cpu        map[string]time.Duration // by process, the client's too
	redisCalls int
}

// rate is in requests a second.
func rate(s sample) float64 { return float64(s.requests) / s.seconds }

// cpuOf is the CPU of some processes in µs a request.
func cpuOf(names ...string) func(sample) float64 {
	return func(s sample) float64 {
		var sum time.Duration
		for _, name := range names {
			sum += s.cpu[name]
		}
		return float64(sum.Nanoseconds()) / 1e3 / float64(s.requests)
	}
}

func p50(s sample) float64   { return milliseconds(s.latency.P50) }
func p99(s sample) float64   { return milliseconds(s.latency.P99) }
func p999(s sample) float64  { return milliseconds(s.latency.P999) }
func worst(s sample) float64 { return milliseconds(s.latency.Max) }

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// of is a figure of one side.
func (s *side) of(quantity func(sample) float64) report.Figure {
	return between(s, s, func(a, _ sample) float64 { return quantity(a) })
}

// between compares two sides round by round, as both saw the same machine then.
func between(one, other *side, compare func(a, b sample) float64) report.Figure {
	values := make([]float64, min(len(one.samples), len(other.samples)))
	for i := range values {
		values[i] = compare(one.samples[i], other.samples[i])
	}
	return report.FigureOf(values)
}

// ratio is how many times the other's quantity one has.
func ratio(one, other *side, quantity func(sample) float64) report.Figure {
	return between(one, other, func(a, b sample) float64 { return quantity(a) / quantity(b) })
}

// best is the side for which a quantity's median is the least.
func best(sides []*side, quantity func(sample) float64) *side {
	return slices.MinFunc(sides, func(a, b *side) int { return cmp.Compare(a.of(quantity).Value, b.of(quantity).Value) })
}

// fastest is the side with the most requests a second.
func fastest(sides []*side) *side {
	return best(sides, func(s sample) float64 { return -rate(s) })
}

// alternate measures the sides in turn, A B A B …, on the same tables each time.
func (b *Bench) alternate(ctx context.Context, rounds int, sides ...*side) error {
	return b.inTurn(ctx, rounds, b.Stage.Database.Reset, sides...)
}

// inTurn calls reset before each measurement.
func (b *Bench) inTurn(ctx context.Context, rounds int, reset func(context.Context) error, sides ...*side) error {
	for _, s := range sides {
		if err := s.driver.try(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for round := range rounds {
		for _, s := range sides {
			if err := reset(ctx); err != nil {
				return err
			}
			sample, err := b.measureSome(ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			s.samples = append(s.samples, sample)
			b.progress("%d/%d  %-40s %3d connections  %8.0f/s  p99 %.2f ms%s",
				round+1, rounds, s.name, s.connections, rate(sample), p99(sample), complaints(sample.errors))
		}
	}
	return nil
}

// measureSome measures again, twice as long, what answered nothing at all: a
// stalled machine may not get to it within a short round.
func (b *Bench) measureSome(ctx context.Context, s *side) (got sample, err error) {
	for range 6 {
		if got, err = b.measureOnce(ctx, s); err != nil || got.requests > 0 || len(got.errors) > 0 {
			break
		}
		s.driver.longer()
	}
	if err == nil && got.requests == 0 {
		err = fmt.Errorf("no request was answered as expected%s", complaints(got.errors))
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
		finish := b.profiled(ctx, s, &begin)
		defer finish()
	}
	out, err := s.driver.drive(ctx, begin, end)
	if err != nil {
		return sample{}, err
	}
	used := after.Sub(before)
	used[out.client] += out.spent
	return sample{outcome: out, cpu: used, redisCalls: callsAfter - callsBefore}, nil
}

// complaints are the errors of a sample, the most frequent first.
func complaints(errors map[string]int) (text string) {
	names := slices.SortedFunc(maps.Keys(errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(errors[b], errors[a]), cmp.Compare(a, b))
	})
	for _, name := range names {
		text += fmt.Sprintf("; %d × %s", errors[name], name)
	}
	return text
}

// profiled has the measured interval profiled: begin is wrapped. What it
// returns waits for the profiles to be on disk.
func (b *Bench) profiled(ctx context.Context, s *side, begin *func() error) (finish func()) {
	file := fmt.Sprintf("%s-%d-%d", s.name, s.connections, len(s.samples)+1)
	file = filepath.Join(b.Profile, strings.NewReplacer(" ", "-", "/", "-").Replace(file))
	seconds := max(1, int(s.spec().Duration.Seconds()))
	save := func(kind, path string) {
		profile, err := s.edge.Admin(ctx, path)
		if err == nil {
			err = os.WriteFile(file+kind, profile, 0o644)
		}
		if err != nil {
			b.progress("no profile %s%s: %v", file, kind, err)
		}
	}
	var saved sync.WaitGroup
	counted := *begin
	*begin = func() error {
		saved.Go(func() {
			save(".cpu.pprof", fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds))
			save(".allocs.pprof", "/debug/pprof/allocs")
		})
		return counted()
	}
	return saved.Wait
}
