package apikey

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"testing"
)

func TestCachedKey_AllocatesNothing(t *testing.T) {
	b := setup(t, func(o *Options) { o.Uses = new(usedKeys) })
	b.wantOK(testToken)
	for name, header := range map[string]http.Header{
		"bearer":  bearer(testToken),
		"bare":    {"Authorization": {testToken}},
		"missing": {},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			authenticate := func() { b.Authenticate(ctx, header, testClient, Required{}) }
			if allocated := testing.AllocsPerRun(1000, authenticate); allocated != 0 {
				t.Errorf("got %v allocations, want none", allocated)
			}
		})
	}
	b.wantLookups(1)
}

func BenchmarkCachedKey(b *testing.B) {
	s := setup(b, func(o *Options) { o.Uses = new(usedKeys) })
	s.wantOK(testToken)
	ctx, header := context.Background(), bearer(testToken)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Authenticate(ctx, header, testClient, Required{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCachedKeyInParallel(b *testing.B) {
	s := setup(b, func(o *Options) { o.Uses = new(usedKeys) })
	s.wantOK(testToken)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx, header := context.Background(), bearer(testToken)
		for pb.Next() {
			if _, _, err := s.Authenticate(ctx, header, testClient, Required{}); err != nil {
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
		s.Authenticate(ctx, header, testClient, Required{})
	}
}

// idealStore has every key. Its IDs have the form of the schema's, and a workspace has ten keys.
type idealStore struct{ calls int }

func (s *idealStore) Keys(_ context.Context, hashes []Hash) (map[Hash]*Key, error) {
	keys := map[Hash]*Key{}
	for _, hash := range hashes {
		s.calls++
		keys[hash] = &Key{ID: uuidLike(s.calls), Hash: hash, WorkspaceID: uuidLike(s.calls / 10), Scopes: 1 << 11}
	}
	return keys, nil
}

func uuidLike(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", n, n) }

// BenchmarkHundredThousandKeys reports the memory of a full cache per key.
func BenchmarkHundredThousandKeys(b *testing.B) {
	const keys = 100_000
	for b.Loop() {
		s := setup(b, func(o *Options) { o.Size = keys })
		s.lookups.store = &idealStore{}
		before := heap()
		for i := range keys {
			if err := s.query(context.Background(), []*lookup{{hash: HashOf(uuidLike(i))}}); err != nil {
				b.Fatal(err)
			}
			if i%1000 == 0 { // so that ristretto drops no Set
				s.wait()
			}
		}
		s.wait()
		b.ReportMetric(float64(heap()-before)/float64(s.Stats().Keys), "B/key")
		s.Close()
	}
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
