package shared

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// asked is a call of ask: its requests, and when it began.
type asked struct {
	requests int
	at       time.Duration
}

// run makes requests with the same keys at these times. Each call takes as long as ask says. It
// returns the calls, and the numbers that the requests got.
func run(t *testing.T, maxWait, takes time.Duration, at ...time.Duration) (calls []asked, numbers []int) {
	c := NewCalls[string, int](maxWait)
	began := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, at := range at {
		wg.Go(func() {
			time.Sleep(at)
			reply, i, err := c.Do([]string{"a", "b"}, func(requests int) (int, error) {
				mu.Lock()
				calls = append(calls, asked{requests, time.Since(began)})
				mu.Unlock()
				time.Sleep(takes)
				return requests, nil
			})
			if err != nil || i >= reply {
				t.Errorf("number %d of %d: %v", i, reply, err)
			}
			mu.Lock()
			numbers = append(numbers, i)
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(c.latest) != 0 {
		t.Errorf("%d calls are left", len(c.latest))
	}
	slices.Sort(numbers)
	return calls, numbers
}

func TestDo_CallsAreShared(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name           string
		maxWait, takes time.Duration
		at             []time.Duration
		calls          []asked
		numbers        []int
	}{
		{"a request that comes alone waits for nobody", time.Hour, 10 * ms, []time.Duration{0, 20 * ms, 40 * ms},
			[]asked{{1, 0}, {1, 20 * ms}, {1, 40 * ms}}, []int{0, 0, 0}},
		{"those that come meanwhile share the next call", time.Hour, 10 * ms,
			[]time.Duration{0, 1 * ms, 2 * ms, 3 * ms, 12 * ms},
			[]asked{{1, 0}, {3, 10 * ms}, {1, 20 * ms}}, []int{0, 0, 0, 1, 2}},
		{"a slow call is not waited for", 4 * ms, 10 * ms, []time.Duration{0, 1 * ms, 2 * ms, 6 * ms},
			[]asked{{1, 0}, {2, 5 * ms}, {1, 10 * ms}}, []int{0, 0, 0, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, numbers := run(t, tt.maxWait, tt.takes, tt.at...)
				if !slices.Equal(calls, tt.calls) || !slices.Equal(numbers, tt.numbers) {
					t.Errorf("calls %v, numbers %v; want %v, %v", calls, numbers, tt.calls, tt.numbers)
				}
			})
		})
	}
}

// Only requests with all keys in common share a call, and others do not wait for them.
func TestDo_OtherKeysAreAskedSeparately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCalls[string, int](time.Hour)
		var wg sync.WaitGroup
		for i, keys := range [][]string{{"a"}, {"a", "b"}, {"b"}, {"a", "c"}} {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				began := time.Now()
				reply, n, err := c.Do(keys, func(requests int) (int, error) {
					time.Sleep(time.Second)
					return requests, nil
				})
				if took := time.Since(began); reply != 1 || n != 0 || err != nil || took != time.Second {
					t.Errorf("%v: got %d, %d, %v after %s", keys, reply, n, err, took)
				}
			})
		}
		wg.Wait()
	})
}

func TestDo_FailureReachesAll(t *testing.T) {
	for name, ask := range map[string]func() error{
		"error": func() error { return errors.ErrUnsupported },
		"panic": func() error { panic("ask") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := NewCalls[string, int](time.Hour)
				var wg sync.WaitGroup
				var mu sync.Mutex
				outcomes := map[string]int{}
				for i := range 5 {
					wg.Go(func() {
						defer func() {
							if p := recover(); p != nil {
								mu.Lock()
								outcomes[fmt.Sprint(p)]++
								mu.Unlock()
							}
						}()
						time.Sleep(time.Duration(i) * time.Millisecond)
						_, _, err := c.Do([]string{"a"}, func(int) (int, error) {
							time.Sleep(time.Second)
							return 0, ask()
						})
						mu.Lock()
						outcomes[err.Error()]++
						mu.Unlock()
					})
				}
				wg.Wait()
				sum := 0
				for _, n := range outcomes {
					sum += n
				}
				if sum != 5 || len(c.latest) != 0 {
					t.Errorf("outcomes %v, %d calls left", outcomes, len(c.latest))
				}
			})
		})
	}
}
