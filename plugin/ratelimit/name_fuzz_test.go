package ratelimit

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/plugin/limit"
)

var structuredString = regexp.MustCompile(`^"[ !#-\[\]-~]*";q=\d+;w=\d+$`)

func TestValidateName(t *testing.T) {
	for _, name := range []string{"default", "a", "v1.sale_track-EU", strings.Repeat("a", 64)} {
		if err := ValidateName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", strings.Repeat("a", 65), "a b", `a"b`, `a\b`, "a:b", "{a}", "é", "a\nb", "@", "`", "["} {
		if err := ValidateName(name); err == nil {
			t.Errorf("%q passes", name)
		}
	}
}

// A name that passes can stand in a header and in a Redis key.
func FuzzName(f *testing.F) {
	for _, name := range []string{"default", "v1.sale_track-EU", "", `a"b`, "a:b", "{a}", "é", "a\r\nb", strings.Repeat("a", 65)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if ValidateName(name) != nil {
			return
		}
		limit := limit.Limit{Rate: 600, Period: time.Minute, Burst: 600}
		header := http.Header{}
		Decision{Evaluated: true, Limit: limit}.SetHeaders(header, name, time.Now())
		if policy := header.Get("RateLimit-Policy"); !structuredString.MatchString(policy) || !strings.HasPrefix(policy, `"`+name+`";`) {
			t.Errorf("%q gives %q", name, policy)
		}
		b := bucket{name: name, limit: limit}
		if key := b.key("hoko:"); strings.Count(key, "{") != 1 || strings.Count(key, "}") != 1 || !strings.HasPrefix(key, "hoko:"+name+":{") {
			t.Errorf("%q gives the Redis key %q", name, key)
		}
	})
}
