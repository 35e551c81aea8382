package limit

import (
	"strings"
	"testing"
	"time"
)

func TestString_AsTyped(t *testing.T) {
	for want, l := range map[string]Limit{
		"":                   {},
		"600/1m":             {600, time.Minute, 600, None},
		"10/1s burst 5":      {10, time.Second, 5, None},
		"5000/1h30m":         {5000, 90 * time.Minute, 5000, None},
		"1/1h0m5s":           {1, time.Hour + 5*time.Second, 1, None},
		"1/1h":               {1, time.Hour, 1, None},
		"7/20m":              {7, 20 * time.Minute, 7, None},
		"7/10h":              {7, 10 * time.Hour, 7, None},
		"7/10s":              {7, 10 * time.Second, 7, None},
		"100000/1d":          {100_000, 24 * time.Hour, 100_000, None},
		"5/1d12h burst 1":    {5, 36 * time.Hour, 1, None},
		"1/366d":             {1, MaxPeriod, 1, None},
		"1/1ms":              {1, time.Millisecond, 1, None},
		"3/1.5ms":            {3, 1500 * time.Microsecond, 3, None},
		"1/1d1.000001s":      {1, 24*time.Hour + time.Second + time.Microsecond, 1, None},
		"-1/1m burst 0":      {-1, time.Minute, 0, None}, // not valid
		"600/0s":             {600, 0, 600, None},        // not valid
		"600/100ms burst -1": {600, 100 * time.Millisecond, -1, None},
	} {
		if got := l.String(); got != want {
			t.Errorf("%#v: %q, want %q", l, got, want)
		}
	}
}

func FuzzLimitString(f *testing.F) {
	f.Add(600, int64(time.Minute), 600)
	f.Add(10, int64(36*time.Hour+time.Microsecond), 5)
	f.Fuzz(func(t *testing.T, rate int, period int64, burst int) {
		l := Limit{rate, time.Duration(period), burst, None}
		if l.Validate() != nil || (Limit{rate, l.Period, rate, None}).Validate() != nil {
			return
		}
		text, _, _ := strings.Cut(l.String(), " burst ")
		if got, err := Parse(text); err != nil || got.Rate != l.Rate || got.Period != l.Period {
			t.Fatalf("%q of %d/%d reads as %#v, %v", text, rate, period, got, err)
		}
	})
}
