package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"hoko.to/edge/bench/measure"
)

// seedKeys: keys as the memory's callers name them.
const seedKeys = `INSERT INTO hoko.api_keys (workspace_id, name, key_hash, key_start, scopes)
SELECT 'bench', 'A key', sha256(('hoko_bench_' || n)::bytea), 'hoko_ben', '{conversionsWrite}' FROM generate_series(0, %d) n`

// footprint is an edge's memory in MB.
type footprint struct{ rss, heap float64 }

// settling is how many requests, with one key, an edge has had before its memory counts.
const settling = 20_000

// memory compares an edge with itself before it has cached keys.
func memory(ctx context.Context, b *bench) error {
	most := b.mode.keys[len(b.mode.keys)-1]
	if err := b.stage.database.exec(ctx, fmt.Sprintf(seedKeys, most)); err != nil {
		return err
	}
	steps := append([]int{0}, b.mode.keys...)
	found := make([][]footprint, len(steps)) // by step, one a round
	for round := range b.mode.reported {
		mark := b.stage.mark()
		e, err := b.stage.startEdge(ctx, shipped(), b.stage.backing(nil))
		if err != nil {
			return err
		}
		if err := e.call(ctx, min(most, settling), func(int) string { return benchKey }); err != nil {
			return err
		}
		called := 0
		for i, keys := range steps {
			if err := e.call(ctx, keys-called, func(n int) string { return fmt.Sprint("hoko_bench_", called+n) }); err != nil {
				return err
			}
			called = keys
			f, err := e.footprint(ctx)
			if err != nil {
				return err
			}
			found[i] = append(found[i], f)
			b.progress("%d/%d  %d keys: %.1f MB, live heap %.1f MB", round+1, b.mode.reported, keys, f.rss, f.heap)
		}
		b.stage.unwind(mark)
	}
	b.reportMemory(steps, found)
	return nil
}

// memoryNote heads the table.
const memoryNote = "After a forced garbage collection. The verdict uses the growth of the resident memory (RSS), which also holds what the runtime has not given back yet."

func (b *bench) reportMemory(steps []int, found [][]footprint) {
	rss := func(f, _ footprint) float64 { return f.rss }
	heap := func(f, _ footprint) float64 { return f.heap }
	moreRSS := func(f, empty footprint) float64 { return f.rss - empty.rss }
	moreHeap := func(f, empty footprint) float64 { return f.heap - empty.heap }
	of := func(step int, quantity func(f, empty footprint) float64) figure {
		values := make([]float64, len(found[step]))
		for round, f := range found[step] {
			values[round] = quantity(f, found[0][round])
		}
		return figureOf(values)
	}
	t := table{title: "Memory", note: memoryNote, head: []string{"cached keys", "RSS", "growth", "spread", "live heap", "growth"}}
	for i, keys := range steps {
		t.rows = append(t.rows, []string{fmt.Sprint(keys), megabyte.show(of(i, rss).value), megabyte.show(of(i, moreRSS).value),
			megabyte.spread(of(i, moreRSS)), megabyte.show(of(i, heap).value), megabyte.show(of(i, moreHeap).value)})
	}
	last := len(steps) - 1
	b.judge(fmt.Sprintf("memory with %d cached keys, over an empty cache", steps[last]), of(last, moreRSS), megabyte, atMost(60), atMost(30))
	b.report.tables = append(b.report.tables, t)
}

// footprint is taken after a garbage collection.
func (e *edge) footprint(ctx context.Context) (f footprint, err error) {
	heap, err := e.heap(ctx)
	if err != nil {
		return f, err
	}
	rss, _, err := measure.Memory(e.process().PID)
	return footprint{float64(rss) / 1e6, float64(heap) / 1e6}, err
}

// call sends so many requests, each with a key. They have no body and cost
// Postgres nothing but the key.
func (e *edge) call(ctx context.Context, n int, key func(int) string) error {
	const callers = 8 // as many keys are looked up at once: none waits and is shed
	client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, callers)
	for range callers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := callOnce(ctx, &client, e.url, key(i)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(failed)
	return <-failed
}

func callOnce(ctx context.Context, client *http.Client, url, key string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/track/sale", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusBadRequest {
		return fmt.Errorf("a call with a key and no body: %s", res.Status)
	}
	return nil
}
