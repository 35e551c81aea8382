package ratelimit_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/ratelimit"
)

// No Redis listens at this address, so the Limiter counts in this process.
func Example() {
	limiter, err := ratelimit.New(ratelimit.Options{URL: "redis://127.0.0.1:1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer limiter.Close()

	request := ratelimit.Request{
		Name:    "default",
		Bucket:  sha256.Sum256([]byte("hoko_secret")),
		Limit:   limit.Limit{Rate: 2, Period: time.Hour, Burst: 2},
		OnError: ratelimit.Local,
	}
	for range 3 {
		decision, err := limiter.Allow(context.Background(), request)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(decision.Allowed, decision.Remaining, decision.Source)
	}
	// Output:
	// true 1 local
	// true 0 local
	// false 0 local
}

func ExampleDecision_SetHeaders() {
	decision := ratelimit.Decision{
		Allowed:   true,
		Evaluated: true,
		State: ratelimit.State{
			Name:       "default",
			Limit:      limit.Limit{Rate: 600, Period: time.Minute, Burst: 600},
			Remaining:  599,
			ResetAfter: 100 * time.Millisecond,
		},
	}
	header := make(http.Header)
	decision.SetHeaders(header, time.Unix(1_800_000_000, 0))
	for _, name := range []string{
		"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit",
	} {
		fmt.Printf("%s: %s\n", name, header.Get(name))
	}
	// Output:
	// X-RateLimit-Limit: 600
	// X-RateLimit-Remaining: 599
	// X-RateLimit-Reset: 1800000001
	// RateLimit-Policy: "default";q=600;w=60
	// RateLimit: "default";r=599;t=1
}
