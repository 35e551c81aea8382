package limit

import (
	"strings"
	"testing"
	"time"
)

func TestParse_ReadsRateAndPeriod(t *testing.T) {
	tests := map[string]Limit{
		"600/1m":       {600, time.Minute, 600, None},
		"10/s":         {10, time.Second, 10, None},
		"60/m":         {60, time.Minute, 60, None},
		"1/h":          {1, time.Hour, 1, None},
		"5000/d":       {5000, 24 * time.Hour, 5000, None},
		"5000/1d":      {5000, 24 * time.Hour, 5000, None},
		"5000/1d12h":   {5000, 36 * time.Hour, 5000, None},
		"5000/0.5d":    {5000, 12 * time.Hour, 5000, None},
		"600/1m30s":    {600, 90 * time.Second, 600, None},
		"100/1.5h":     {100, 90 * time.Minute, 100, None},
		"1/1ms":        {1, time.Millisecond, 1, None},
		"100/ms":       {100, time.Millisecond, 100, None},
		"1/366d":       {1, MaxPeriod, 1, None},
		"100000/1s":    {100_000, time.Second, 100_000, None},
		"1000000000/d": {MaxRate, 24 * time.Hour, MaxRate, None},
	}
	for in, want := range tests {
		t.Run(in, func(t *testing.T) {
			got, err := Parse(in)
			if err != nil || got != want {
				t.Fatalf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestParse_Errors(t *testing.T) {
	const form = "want RATE/PERIOD, such as 600/1m, 10/s or 100000/month"
	tests := []struct{ in, want string }{
		{"", form},
		{"600", form},
		{"/", form},
		{"600/", form},
		{"/1m", form},
		{"a/1m", `"a" is not a number of requests`},
		{"-1/1m", `"-1" is not a number of requests`},
		{"+1/1m", `"+1" is not a number of requests`},
		{"1.5/1m", `"1.5" is not a number of requests`},
		{"99999999999999999999/1m", `is not a number of requests`},
		{"600/60", `"60" is not a duration`},
		{"600/1 m", `"1 m" is not a duration`},
		{"600/1m/2", `"1m/2" is not a duration`},
		{"600/1dd", `"1dd" is not a duration`},
		{"600/1w", `"1w" is not a duration`},
		{"600/99999999999d", `is not a duration`},
		{"0/1m", "rate must be"},
		{"600/0s", "period must be"},
		{"600/-1m", "period must be"},
		{"600/999us", "period must be"},
		{"600/367d", "is not a duration"},
		{"600/8785h", "period must be"},
		{"100001/1s", "are more than one per 10µs"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := Parse(tt.in)
			if err == nil {
				t.Fatalf("got %+v, want an error", got)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), `"`+tt.in+`"`) {
				t.Fatalf("%q lacks %q or the input", err, tt.want)
			}
		})
	}
}

func TestValidate_Bounds(t *testing.T) {
	tests := []struct {
		name  string
		limit Limit
		want  string // in the error; empty: valid
	}{
		{"the shipped limit", Limit{600, time.Minute, 600, None}, ""},
		{"a burst of one", Limit{600, time.Minute, 1, None}, ""},
		{"a burst above the rate", Limit{1, time.Minute, 600, None}, ""},
		{"zero", Limit{}, "rate must be"},
		{"no burst", Limit{600, time.Minute, 0, None}, "burst must be"},
		{"negative burst", Limit{600, time.Minute, -1, None}, "burst must be"},
		{"negative rate", Limit{-1, time.Minute, 1, None}, "rate must be"},
		{"rate out of range", Limit{MaxRate + 1, MaxPeriod, 1, None}, "rate must be"},
		{"burst out of range", Limit{1, time.Second, MaxRate + 1, None}, "burst must be"},
		{"a bucket that fills in a year", Limit{1, 24 * time.Hour, 366, None}, ""},
		{"a bucket that takes longer", Limit{1, 24 * time.Hour, 367, None}, "takes more than"},
		{"a bucket that takes forever", Limit{1, MaxPeriod, MaxRate, None}, "takes more than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.limit.Validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzParseLimit(f *testing.F) {
	for _, seed := range strings.Fields("600/1m 10/s 5/1d12h 1/0.5d a/b 600/ 1/-1d 9/9223372036854775807ns") {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := Parse(s)
		if err != nil {
			return
		}
		if err := l.Validate(); err != nil {
			t.Fatalf("%q: got an invalid limit: %v", s, err)
		}
		if l.Burst != l.Rate || l.Fill() != l.Period {
			t.Fatalf("%q: got %+v, want a burst equal to the rate", s, l)
		}
	})
}
