package apikey

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"testing"
)

func TestCachedAuthenticationAllocatesNothing(t *testing.T) {
	b := setup(t)
	b.wantOK(testToken)
	for name, header := range map[string]http.Header{
		"bearer":  bearer(testToken),
		"bare":    {"Authorization": {testToken}},
		"missing": {},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			if allocated := testing.AllocsPerRun(1000, func() { b.Authenticate(ctx, header, testClient) }); allocated != 0 {
				t.Errorf("%v allocations", allocated)
			}
		})
	}
	b.wantLookups(1)
}

func BenchmarkCachedKey(b *testing.B) {
	s := setup(b)
	s.wantOK(testToken)
	ctx, header := context.Background(), bearer(testToken)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Authenticate(ctx, header, testClient); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCachedKeyInParallel(b *testing.B) {
	s := setup(b)
	s.wantOK(testToken)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx, header := context.Background(), bearer(testToken)
		for pb.Next() {
			if _, err := s.Authenticate(ctx, header, testClient); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkUnknownKey(b *testing.B) {
	s := setup(b)
	ctx, header := context.Background(), bearer("unknown")
	b.ReportAllocs()
	for b.Loop() {
		s.Authenticate(ctx, header, testClient)
	}
}

// BenchmarkHundredThousandKeys reports what a full cache holds of memory.
func BenchmarkHundredThousandKeys(b *testing.B) {
	for b.Loop() {
		c := newCache(DefaultSize, DefaultTTL+DefaultStale)
		before := heap()
		for i := range DefaultSize {
			key := Key{ID: fmt.Sprintf("%036d", i), WorkspaceID: fmt.Sprintf("%036d", i)}
			if err := c.put(newEntry(&key, HashOf(key.ID), epoch{}, 0)); err != nil {
				b.Fatal(err)
			}
			if i%1000 == 0 {
				c.engine.Wait()
			}
		}
		c.engine.Wait()
		b.ReportMetric(float64(heap()-before)/float64(c.len()), "B/key")
		c.close()
	}
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
