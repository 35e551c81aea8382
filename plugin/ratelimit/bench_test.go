package ratelimit

import (
	"net/http"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

// hugeLimit is never used up.
var hugeLimit = limitOf(100_000, time.Second, 1_000_000)

func BenchmarkAllow(b *testing.B) {
	limiter := newLimiter(b, Options{URL: testenv.Redis(b), Timeout: longTimeout})
	request := Request{Name: "default", Limit: hugeLimit}
	b.Run("one at a time", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := limiter.Allow(b.Context(), request); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("64 at a time", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32) // times GOMAXPROCS
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := limiter.Allow(b.Context(), request); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkAllowWithoutRedis(b *testing.B) {
	limiter := newLimiter(b, Options{URL: "unix:///nonexistent", Timeout: longTimeout})
	request := Request{Name: "default", Limit: hugeLimit}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := limiter.Allow(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAllowRememberedDenial(b *testing.B) {
	limiter := newLimiter(b, Options{URL: testenv.Redis(b), Timeout: longTimeout})
	request := Request{Name: "default", Limit: limitOf(1, time.Hour, 1)}
	limiter.Allow(b.Context(), request)
	b.ReportAllocs()
	for b.Loop() {
		if d, err := limiter.Allow(b.Context(), request); err != nil || d.Allowed {
			b.Fatal(d, err)
		}
	}
}

func BenchmarkSetHeaders(b *testing.B) {
	d := result{allowed: true, reset: 100 * time.Millisecond}.decision(perMinute, FromRedis)
	h, now := http.Header{}, time.Now()
	b.ReportAllocs()
	for b.Loop() {
		d.SetHeaders(h, now)
	}
}
