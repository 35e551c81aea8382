package suite

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"hoko.to/edge/bench/measure"
	"hoko.to/edge/bench/report"
	"hoko.to/edge/bench/stage"
)

// seedKeys inserts the keys hoko_bench_0, hoko_bench_1 and so on.
const seedKeys = `INSERT INTO hoko.api_keys (workspace_id, name, key_hash, key_start, scopes)
SELECT 'bench', 'A key', sha256(('hoko_bench_' || n)::bytea), 'hoko_ben', '{conversionsWrite}'
FROM generate_series(0, %d) n`

// footprint is the memory of an edge in MB.
type footprint struct{ rss, heap float64 }

// warmupRequests is the number of requests, with one key, before the first measurement.
const warmupRequests = 20_000

// memory compares an edge that has cached keys with the same edge before it has cached them.
func memory(ctx context.Context, b *Bench) error {
	steps := append([]int{0}, b.Mode.keys...)
	most := steps[len(steps)-1]
	if err := b.Stage.Database.Exec(ctx, fmt.Sprintf(seedKeys, most)); err != nil {
		return err
	}
	found := make([][]footprint, len(steps)) // one per round
	for round := range b.Mode.fewerRounds {
		mark := b.Stage.Mark()
		e, err := b.startEdge(ctx)
		if err != nil {
			return err
		}
		if err := sendEach(ctx, e, min(most, warmupRequests), func(int) string { return benchKey }); err != nil {
			return err
		}
		cached := 0
		for i, keys := range steps {
			key := func(n int) string { return fmt.Sprint("hoko_bench_", cached+n) }
			if err := sendEach(ctx, e, keys-cached, key); err != nil {
				return err
			}
			cached = keys
			heap, err := e.Heap(ctx)
			if err != nil {
				return err
			}
			rss, err := measure.Memory(e.Process().PID)
			if err != nil {
				return err
			}
			f := footprint{float64(rss) / 1e6, float64(heap) / 1e6}
			found[i] = append(found[i], f)
			b.progress("%d/%d  %d keys: %.1f MB, live heap %.1f MB", round+1, b.Mode.fewerRounds, keys, f.rss, f.heap)
		}
		b.Stage.Unwind(mark)
	}
	b.reportMemory(steps, found)
	return nil
}

func (b *Bench) reportMemory(steps []int, found [][]footprint) {
	figure := func(step int, quantity func(f, empty footprint) float64) report.Figure {
		values := make([]float64, len(found[step]))
		for round, f := range found[step] {
			values[round] = quantity(f, found[0][round])
		}
		return report.FigureOf(values)
	}
	t := report.Table{
		Title: "Memory",
		Note: "After a forced garbage collection. The target is for the growth of the resident memory (RSS), " +
			"which includes memory that the Go runtime has not yet returned.",
		Head: []string{"cached keys", "RSS", "RSS growth", "spread", "live heap", "heap growth"},
	}
	const mb = report.Megabytes
	var growth report.Figure
	for i, keys := range steps {
		rss := figure(i, func(f, _ footprint) float64 { return f.rss })
		heap := figure(i, func(f, _ footprint) float64 { return f.heap })
		heapGrowth := figure(i, func(f, empty footprint) float64 { return f.heap - empty.heap })
		growth = figure(i, func(f, empty footprint) float64 { return f.rss - empty.rss })
		t.Rows = append(t.Rows, []string{fmt.Sprint(keys), mb.Format(rss.Value), mb.Format(growth.Value),
			mb.Spread(growth), mb.Format(heap.Value), mb.Format(heapGrowth.Value)})
	}
	b.Report.AddTarget(fmt.Sprintf("memory with %d cached keys, over an empty cache", steps[len(steps)-1]),
		growth, mb, atMost(60), atMost(30))
	b.Report.Tables = append(b.Report.Tables, t)
}

// sendEach sends n requests without a body, each with the key for its number. They cost Postgres
// only the lookup of a key.
func sendEach(ctx context.Context, e *stage.Edge, n int, key func(int) string) error {
	const callers = 8 // few enough that the edge sheds no lookup
	client := stage.NewClient(callers)
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var all errgroup.Group
	for range callers {
		all.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if _, err := stage.Send(ctx, client, e.URL, emptySale(key(i)), http.StatusBadRequest); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return all.Wait()
}
