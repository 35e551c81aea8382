package request

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestThrottle_AtMostTenInAnySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := newThrottle()
		const tries = 3000 // one each millisecond
		var logged []time.Time
		omitted, total := int64(0), 0
		for range tries {
			if n, due := throttle.due(); due {
				logged, omitted = append(logged, time.Now()), omitted+n
			}
			total++
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		n, due := throttle.due()
		if omitted += n; !due || omitted+int64(len(logged)) != tries {
			t.Errorf("%d logged and %d omitted of %d", len(logged), omitted, tries)
		}
		if len(logged) < 15 {
			t.Errorf("only %d logged in 3 s", len(logged))
		}
		for i := range len(logged) - 10 {
			if logged[i+10].Sub(logged[i]) < time.Second {
				t.Errorf("eleven logged within %s", logged[i+10].Sub(logged[i]))
			}
		}
		if n, due := throttle.due(); !due || n != 0 {
			t.Errorf("the next failure: due %t, omitted %d", due, n)
		}
	})
}

func TestLogFailure_BoundsPartsAndStatusesSeparately(t *testing.T) {
	reset(t)
	synctest.Test(t, func(t *testing.T) {
		core, lines := observer.New(zapcore.InfoLevel)
		fail := func(part Part, status, times int) {
			_, r := prepared(nil)
			for range times {
				LogFailure(r, zap.New(core), part, status, errors.New("broken"))
			}
			if Of(r).id[0] == "" {
				t.Error("the access log has no request ID")
			}
		}
		wantLines := func(what string, want int) {
			t.Helper()
			if got := len(lines.TakeAll()); got != want {
				t.Errorf("%s: %d lines, want %d", what, got, want)
			}
		}
		fail(Site, 502, 999)
		fail(Site, 502, 1)
		wantLines("the first status", 5)
		fail(Site, 504, 1000)
		wantLines("another status", 5)
		fail(Sale, 502, 1000)
		wantLines("another part", 5)
		before := len(throttles)
		for status := range 1000 {
			if http.StatusText(status) == "" {
				fail(Site, status, 1)
			}
		}
		wantLines("made-up statuses together", 5)
		if len(throttles) != before {
			t.Errorf("%d throttles became %d", before, len(throttles))
		}
		time.Sleep(time.Second)
		fail(Site, 502, 1)
		line := lines.TakeAll()[0]
		got := line.ContextMap()
		id, _ := got["uuid"].(string)
		if line.Level != zapcore.ErrorLevel || line.Message != "request failed" || len(id) != 36 ||
			got["status"] != int64(502) || got["error"] != "broken" || got["omitted"] != int64(995) {
			t.Errorf("logged %v %s %v", line.Level, line.Message, got)
		}
	})
}

// reset gives a test its own throttles.
func reset(t *testing.T) {
	shared := throttles
	throttles = newThrottles()
	t.Cleanup(func() { throttles = shared })
}
