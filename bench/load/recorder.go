package load

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errorKinds bounds the kinds in Result.Errors; further kinds count as "other".
const errorKinds = 16

// recorder collects the results of all connections. Its times are relative to start.
type recorder struct {
	start    time.Time
	from, to time.Duration // the measured time
	open     bool
	expect   int

	seq                  atomic.Uint64
	requests, reconnects atomic.Int64
	latency              Histogram
	used                 time.Duration

	mu     sync.Mutex
	errors map[string]int
}

func newRecorder(s Spec) *recorder {
	r := &recorder{
		start: time.Now(), from: s.Warmup, to: s.Warmup + s.Duration,
		open: s.Rate > 0, expect: s.Expect, errors: map[string]int{},
	}
	r.seq.Store(s.Request.Start)
	return r
}

func (r *recorder) now() time.Duration { return time.Since(r.start) }

func (r *recorder) measured(t time.Duration) bool { return r.from <= t && t < r.to }

// record counts a response that arrived in the measured time. In an open loop, the latency includes
// all requests that were due in it, however late the response: the last ones are the slow ones.
func (r *recorder) record(since, now time.Duration, status int, err error) {
	if err == nil && status == r.expect {
		if r.measured(now) {
			r.requests.Add(1)
		}
		if r.open && r.measured(since) || !r.open && r.measured(now) {
			r.latency.Record(now - since)
		}
		return
	}
	if !r.measured(now) {
		return
	}
	if err != nil {
		r.fail(kind(err))
	} else {
		r.fail(strconv.Itoa(status))
	}
}

// unanswered counts a request that the end of the run canceled.
func (r *recorder) unanswered(since time.Duration) {
	if r.measured(since) {
		r.fail("unanswered")
	}
}

func (r *recorder) fail(kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.errors[kind]; !known && len(r.errors) >= errorKinds {
		kind = "other"
	}
	r.errors[kind]++
}

// kind returns the text of an error without details of the connection, such as ports.
func kind(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

func (r *recorder) result() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Result{
		Requests:   int(r.requests.Load()),
		Seconds:    (r.to - r.from).Seconds(),
		Errors:     r.errors,
		Reconnects: int(r.reconnects.Load()),
		Latency:    r.latency.Latency(),
		CPU:        r.used,
		Next:       r.seq.Load(),
	}
}
