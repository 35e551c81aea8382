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

// seedKeys: keys as the memory's callers name them.
const seedKeys = `INSERT INTO hoko.api_keys (workspace_id, name, key_hash, key_start, scopes)
SELECT 'bench', 'A key', sha256(('hoko_bench_' || n)::bytea), 'hoko_ben', '{conversionsWrite}' FROM generate_series(0, %d) n`

// footprint is an edge's memory in MB.
type footprint struct{ rss, heap float64 }

// settling is how many requests, with one key, an edge has had before its memory counts.
const settling = 20_000

// memory compares an edge with itself before it has cached keys.
func memory(ctx context.Context, b *Bench) error {
	most := b.Mode.keys[len(b.Mode.keys)-1]
	if err := b.Stage.Database.Exec(ctx, fmt.Sprintf(seedKeys, most)); err != nil {
		return err
	}
	steps := append([]int{0}, b.Mode.keys...)
	found := make([][]footprint, len(steps)) // by step, one a round
	for round := range b.Mode.reported {
		mark := b.Stage.Mark()
		e, err := b.startEdge(ctx)
		if err != nil {
			return err
		}
		if err := call(ctx, e, min(most, settling), func(int) string { return benchKey }); err != nil {
			return err
		}
		called := 0
		for i, keys := range steps {
			key := func(n int) string { return fmt.Sprint("hoko_bench_", called+n) }
			if err := call(ctx, e, keys-called, key); err != nil {
				return err
			}
			called = keys
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
			b.progress("%d/%d  %d keys: %.1f MB, live heap %.1f MB", round+1, b.Mode.reported, keys, f.rss, f.heap)
		}
		b.Stage.Unwind(mark)
	}
	b.reportMemory(steps, found)
	return nil
}

func (b *Bench) reportMemory(steps []int, found [][]footprint) {
	of := func(step int, quantity func(f, empty footprint) float64) report.Figure {
		values := make([]float64, len(found[step]))
		for round, f := range found[step] {
			values[round] = quantity(f, found[0][round])
		}
		return report.FigureOf(values)
	}
	t := report.Table{
		Title: "Memory",
		Note: "After a forced garbage collection. The verdict uses the growth of the resident memory (RSS), " +
			"which also holds what the runtime has not given back yet.",
		Head: []string{"cached keys", "RSS", "growth", "spread", "live heap", "growth"},
	}
	const mb = report.Megabytes
	var grown report.Figure
	for i, keys := range steps {
		rss := of(i, func(f, _ footprint) float64 { return f.rss })
		heap := of(i, func(f, _ footprint) float64 { return f.heap })
		more := of(i, func(f, empty footprint) float64 { return f.heap - empty.heap })
		grown = of(i, func(f, empty footprint) float64 { return f.rss - empty.rss })
		t.Rows = append(t.Rows, []string{fmt.Sprint(keys), mb.Show(rss.Value), mb.Show(grown.Value), mb.Spread(grown),
			mb.Show(heap.Value), mb.Show(more.Value)})
	}
	b.Report.Judge(fmt.Sprintf("memory with %d cached keys, over an empty cache", steps[len(steps)-1]),
		grown, mb, atMost(60), atMost(30))
	b.Report.Tables = append(b.Report.Tables, t)
}

// call sends so many requests, each with a key. They have no body and cost
// Postgres nothing but the key.
func call(ctx context.Context, e *stage.Edge, n int, key func(int) string) error {
	const callers = 8 // as many keys are looked up at the same time: none waits and is shed
	client := stage.NewClient(callers)
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var all errgroup.Group
	for range callers {
		all.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if _, err := stage.Ask(ctx, client, e.URL, bare(key(i)), http.StatusBadRequest); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return all.Wait()
}
