package ratelimit

import (
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/plugin/limit"
)

func TestRemaining_FromResetAfter(t *testing.T) {
	tests := []struct {
		limit limit.Limit
		reset time.Duration
		want  int
	}{
		{perMinute, 100 * time.Millisecond, 599},
		{perMinute, 100*time.Millisecond + 60, 599}, // rounding of Redis's doubles
		{perMinute, 100*time.Millisecond - 60, 599},
		{perMinute, 0, 600},
		{perMinute, 150 * time.Millisecond, 598},
		{perMinute, time.Minute, 0},
		{perMinute, time.Hour, 0}, // the limit was lowered
		{limitOf(600, time.Minute, 10), 100 * time.Millisecond, 9},
		{limitOf(3, time.Second, 3), 333333333, 2}, // not a whole number of nanoseconds
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

func TestRetryAfter_RoundsUpToWholeSeconds(t *testing.T) {
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
			d := result{retry: retry}.decision(perMinute, FromRedis)
			if d.RetryAfter != want || d.Allowed || d.Remaining != 0 {
				t.Fatalf("got %+v, want RetryAfter %s", d, want)
			}
		})
	}
}

func TestSetHeaders_Values(t *testing.T) {
	second, longest := time.Unix(1_700_000_000, 0), limitOf(limit.MaxRate, limit.MaxPeriod, limit.MaxRate)
	tests := []struct {
		name string
		d    Decision
		at   time.Time
		want [5]string // Limit, Remaining, Reset, RateLimit-Policy, RateLimit
	}{
		{
			"a fresh bucket",
			result{allowed: true, reset: 100 * time.Millisecond}.decision(perMinute, FromRedis), second,
			[5]string{"600", "599", "1700000001", `"default";q=600;w=60`, `"default";r=599;t=1`},
		},
		{
			"a denial",
			result{reset: time.Minute, retry: 100 * time.Millisecond}.decision(perMinute, FromRedis), second,
			[5]string{"600", "0", "1700000060", `"default";q=600;w=60`, `"default";r=0;t=60`},
		},
		{
			"fractions of a second round up",
			result{allowed: true, reset: 1900 * time.Millisecond}.decision(limitOf(10, 3*time.Second, 11), FromLocal),
			second.Add(200 * time.Millisecond),
			[5]string{"11", "4", "1700000003", `"default";q=11;w=4`, `"default";r=4;t=2`},
		},
		{
			"whole seconds are exact",
			result{allowed: true, reset: 2 * time.Second}.decision(limitOf(1, time.Second, 3), FromRedis), second,
			[5]string{"3", "1", "1700000002", `"default";q=3;w=3`, `"default";r=1;t=2`},
		},
		{
			"the burst differs from the rate",
			result{allowed: true, reset: time.Second / 10}.decision(limitOf(600, time.Minute, 50), FromRedis), second,
			[5]string{"50", "49", "1700000001", `"default";q=50;w=5`, `"default";r=49;t=1`},
		},
		{
			"the longest values",
			result{allowed: true, reset: limit.MaxPeriod}.decision(longest, FromRedis), second,
			[5]string{"1000000000", "0", "1731622400", `"default";q=1000000000;w=31622400`, `"default";r=0;t=31622400`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			h.Set("RateLimit", "the site's own")
			tt.d.SetHeaders(h, tt.at)
			for i, name := range headers {
				if got := h.Values(name); len(got) != 1 || got[0] != tt.want[i] {
					t.Errorf("%s: got %q, want %q", name, got, tt.want[i])
				}
			}
			if len(h) != 5 {
				t.Errorf("got %v, want five headers", h)
			}
		})
	}
}

func TestSetHeaders_NoneIfNotEvaluated(t *testing.T) {
	h := http.Header{"A": {"b"}}
	Decision{Allowed: true}.SetHeaders(h, time.Now())
	if want := (http.Header{"A": {"b"}}); !reflect.DeepEqual(h, want) {
		t.Fatalf("got %v", h)
	}
}

func TestSetHeaders_WithoutName(t *testing.T) {
	h := http.Header{}
	d := Decision{Evaluated: true, State: State{Limit: limitOf(60, time.Minute, 50), ResetAfter: 50*time.Second + 1}}
	d.SetHeaders(h, time.Unix(1_700_000_000, 0))
	want := http.Header{headers[0]: {"50"}, headers[1]: {"0"}, headers[2]: {"1700000051"}}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("got %v, want %v", h, want)
	}
}

func TestSetHeaders_ValuesDoNotAlias(t *testing.T) {
	h := http.Header{}
	result{allowed: true}.decision(perMinute, FromRedis).SetHeaders(h, time.Now())
	h.Add("X-RateLimit-Limit", "another")
	if got := h.Get("X-RateLimit-Remaining"); got != "600" {
		t.Fatalf("appending to one value changed another: %q", got)
	}
}

var structuredString = regexp.MustCompile(`^"[ !#-\[\]-~]*";q=\d+;w=\d+$`)

func TestValidateName_Characters(t *testing.T) {
	for _, name := range []string{"default", "a", "v1.sale_track-EU", strings.Repeat("a", 64)} {
		if err := ValidateName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	long := strings.Repeat("a", 65)
	for _, name := range []string{"", long, "a b", `a"b`, `a\b`, "a:b", "{a}", "é", "a\nb", "@", "`", "["} {
		if err := ValidateName(name); err == nil {
			t.Errorf("%q: got no error", name)
		}
	}
}

// FuzzName checks that a valid name needs no escaping in a header or a Redis key.
func FuzzName(f *testing.F) {
	for _, name := range []string{"default", "v1.sale_track-EU", "", `a"b`, "a:b", "{a}", "é", "a\r\nb"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if ValidateName(name) != nil {
			return
		}
		header := http.Header{}
		Decision{Evaluated: true, State: State{Name: name, Limit: perMinute}}.SetHeaders(header, time.Now())
		policy := header.Get("RateLimit-Policy")
		if !structuredString.MatchString(policy) || !strings.HasPrefix(policy, `"`+name+`";`) {
			t.Errorf("%q: got %q", name, policy)
		}
		key := (&bucket{name: name, limit: perMinute}).key("hoko:")
		if strings.Count(key, "{") != 1 || strings.Count(key, "}") != 1 || !strings.HasPrefix(key, "hoko:"+name+":{") {
			t.Errorf("%q: got the Redis key %q", name, key)
		}
	})
}

func TestSetHeaders_OfSeveral(t *testing.T) {
	month := limit.Limit{Rate: 100, Burst: 100, Calendar: limit.Month}
	charges := []charge{
		{bucket{name: "burst", limit: limitOf(20, time.Second, 20)}, 1},
		{bucket{name: "monthly", limit: month}, 1},
		{bucket{name: "default", limit: limitOf(60, time.Minute, 60)}, 1},
	}
	ends := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	decided := ends.Add(-90 * time.Second)
	const policies = `"burst";q=20;w=1, "monthly";q=100;w=2592000, "default";q=60;w=60`
	for name, tt := range map[string]struct {
		results []result
		want    [5]string
	}{
		"admitted: fewest remaining": {
			[]result{{allowed: true, reset: 50 * time.Millisecond}, {allowed: true, used: 97, reset: 90 * time.Second},
				{allowed: true, reset: 10 * time.Second}},
			[5]string{"100", "3", fmt.Sprint(ends.Unix()), policies,
				`"burst";r=19;t=1, "monthly";r=3;t=90, "default";r=50;t=10`},
		},
		"denied: the longest wait": {
			[]result{{retry: 50 * time.Millisecond, reset: time.Second},
				{retry: 90 * time.Second, used: 100, reset: 90 * time.Second},
				{allowed: true, reset: 10 * time.Second}},
			[5]string{"100", "0", fmt.Sprint(ends.Unix()), policies,
				`"burst";r=0;t=1, "monthly";r=0;t=90, "default";r=50;t=10`},
		},
		"of some, nothing is known": {
			[]result{{unknown: true}, {retry: 90 * time.Second, used: 100, reset: 90 * time.Second}, {unknown: true}},
			[5]string{"100", "0", fmt.Sprint(ends.Unix()), `"monthly";q=100;w=2592000`, `"monthly";r=0;t=90`},
		},
	} {
		h := http.Header{}
		d := decisionOf(charges, tt.results, FromRedis)
		d.SetHeaders(h, decided.Add(300*time.Microsecond)) // a moment after the decision
		for i, field := range headers {
			if got := h[field][0]; got != tt.want[i] {
				t.Errorf("%s: %s: %s, want %s", name, field, got, tt.want[i])
			}
		}
	}
}

func TestDecisionAnd_OfTwoCalls(t *testing.T) {
	admitted := func(name string, left int) Decision {
		return Decision{Allowed: true, Evaluated: true, Source: FromRedis, State: State{Name: name, Remaining: left}}
	}
	denied := Decision{Evaluated: true, Source: FromMemory, State: State{Name: "denied", RetryAfter: time.Second}}
	unavailable := Decision{Source: FromNone, State: State{Name: "unavailable"}}
	none := Decision{Allowed: true, Source: FromNone, State: State{Name: "none"}}
	for _, tt := range []struct {
		first, second Decision
		name          string
		allowed       bool
		source        Source
		states        int
	}{
		{Decision{Allowed: true}, admitted("a", 5), "a", true, FromRedis, 1},
		{admitted("a", 5), admitted("b", 7), "a", true, FromRedis, 2},
		{admitted("a", 5), admitted("b", 3), "b", true, FromRedis, 2},
		{admitted("a", 5), denied, "denied", false, FromMemory, 2},
		{admitted("a", 5), unavailable, "unavailable", false, FromNone, 1},
		{admitted("a", 5), none, "a", true, FromRedis, 1},
		{none, admitted("a", 5), "a", true, FromRedis, 1},
	} {
		d := tt.first.And(tt.second)
		if d.Name != tt.name || d.Allowed != tt.allowed || d.Source != tt.source || len(d.states()) != tt.states {
			t.Errorf("%s and %s: got %+v", tt.first.Name, tt.second.Name, d)
		}
	}
}
