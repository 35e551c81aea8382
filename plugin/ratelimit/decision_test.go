package ratelimit

import (
	"fmt"
	"maps"
	"net/http"
	"testing"
	"time"

	"hoko.to/edge/plugin/limit"
)

func TestRemaining(t *testing.T) {
	tests := []struct {
		limit limit.Limit
		reset time.Duration
		want  int
	}{
		{limitOf(600, time.Minute, 600), 100 * time.Millisecond, 599},
		{limitOf(600, time.Minute, 600), 100*time.Millisecond + 60, 599}, // as a double of Redis may say
		{limitOf(600, time.Minute, 600), 100*time.Millisecond - 60, 599},
		{limitOf(600, time.Minute, 600), 0, 600},
		{limitOf(600, time.Minute, 600), 150 * time.Millisecond, 598},
		{limitOf(600, time.Minute, 600), time.Minute, 0},
		{limitOf(600, time.Minute, 600), time.Hour, 0}, // the limit was lowered
		{limitOf(600, time.Minute, 10), 100 * time.Millisecond, 9},
		{limitOf(3, time.Second, 3), 333333333, 2}, // an interval that is no whole number of nanoseconds
		{limitOf(7, time.Minute, 100), 8571428572, 99},
		{limitOf(100_000, time.Second, 100_000), 10 * time.Microsecond, 99_999},
		{limitOf(1, limit.MaxPeriod, 1), limit.MaxPeriod, 0},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%+v after %s", tt.limit, tt.reset), func(t *testing.T) {
			if got := remaining(tt.limit, tt.reset); got != tt.want {
				t.Fatalf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestRetryAfterIsWholeSecondsRoundedUpAndAtLeastOne(t *testing.T) {
	tests := map[time.Duration]time.Duration{
		-1:                      time.Second,
		0:                       time.Second,
		1:                       time.Second,
		time.Second:             time.Second,
		time.Second + 1:         2 * time.Second,
		90*time.Second - 1:      90 * time.Second,
		time.Hour + time.Second: time.Hour + time.Second,
	}
	for retry, want := range tests {
		t.Run(retry.String(), func(t *testing.T) {
			d := verdict{retry: retry}.decision(limitOf(600, time.Minute, 600), FromRedis)
			if d.RetryAfter != want || d.Allowed || d.Remaining != 0 {
				t.Fatalf("got %+v, want RetryAfter %s", d, want)
			}
		})
	}
}

func TestSetHeaders(t *testing.T) {
	second := time.Unix(1_700_000_000, 0)
	tests := []struct {
		name string
		d    Decision
		at   time.Time
		want [5]string // Limit, Remaining, Reset, RateLimit-Policy, RateLimit
	}{
		{
			"a fresh bucket",
			verdict{allowed: true, reset: 100 * time.Millisecond}.decision(limitOf(600, time.Minute, 600), FromRedis), second,
			[5]string{"600", "599", "1700000001", `"default";q=600;w=60`, `"default";r=599;t=1`},
		},
		{
			"a denial",
			verdict{reset: time.Minute, retry: 100 * time.Millisecond}.decision(limitOf(600, time.Minute, 600), FromRedis), second,
			[5]string{"600", "0", "1700000060", `"default";q=600;w=60`, `"default";r=0;t=60`},
		},
		{
			"fractions of a second round up",
			verdict{allowed: true, reset: 1900 * time.Millisecond}.decision(limitOf(10, 3*time.Second, 11), FromLocal), second.Add(200 * time.Millisecond),
			[5]string{"11", "4", "1700000003", `"default";q=11;w=4`, `"default";r=4;t=2`},
		},
		{
			"whole seconds stay",
			verdict{allowed: true, reset: 2 * time.Second}.decision(limitOf(1, time.Second, 3), FromRedis), second,
			[5]string{"3", "1", "1700000002", `"default";q=3;w=3`, `"default";r=1;t=2`},
		},
		{
			"a burst other than the rate is what the bucket holds",
			verdict{allowed: true, reset: 100 * time.Millisecond}.decision(limitOf(600, time.Minute, 50), FromRedis), second,
			[5]string{"50", "49", "1700000001", `"default";q=50;w=5`, `"default";r=49;t=1`},
		},
		{
			"the longest values",
			verdict{allowed: true, reset: limit.MaxPeriod}.decision(limitOf(limit.MaxRate, limit.MaxPeriod, limit.MaxRate), FromRedis), second,
			[5]string{"1000000000", "0", "1731622400", `"default";q=1000000000;w=31622400`, `"default";r=0;t=31622400`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			h.Set("RateLimit", "the site's own")
			tt.d.SetHeaders(h, "default", tt.at)
			for i, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit"} {
				if got := h.Values(name); len(got) != 1 || got[0] != tt.want[i] {
					t.Errorf("%s: got %q, want %q", name, got, tt.want[i])
				}
			}
			if len(h) != 5 {
				t.Errorf("got more than five headers: %v", h)
			}
		})
	}
}

func TestSetHeadersSaysNothingWhereNothingWasEvaluated(t *testing.T) {
	h := http.Header{"A": {"b"}}
	Decision{Allowed: true}.SetHeaders(h, "default", time.Now())
	if want := (http.Header{"A": {"b"}}); !maps.EqualFunc(h, want, func(a, b []string) bool { return a[0] == b[0] }) {
		t.Fatalf("got %v", h)
	}
}

func TestHeadersOfOneAnswerDoNotGrowIntoEachOther(t *testing.T) {
	h := http.Header{}
	verdict{allowed: true}.decision(limitOf(600, time.Minute, 600), FromRedis).SetHeaders(h, "default", time.Now())
	h.Add("X-RateLimit-Limit", "another")
	if got := h.Get("X-RateLimit-Remaining"); got != "600" {
		t.Fatalf("appending to one value changed another: %q", got)
	}
}
