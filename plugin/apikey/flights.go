package apikey

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// batchSize bounds the known keys that the store is asked for at once.
	batchSize = 1024
	// batchesAtOnce: the second goes on where the connection of the first is stuck.
	batchesAtOnce = 2
)

// flight is a lookup under way, shared by all that want the same key.
type flight struct {
	hash   Hash
	sent   atomic.Pointer[atomic.Int64] // when, on the authenticator's clock, the store was asked for its batch, or last answered; nil before
	landed chan struct{}                // closed once entry and err may be read
	entry  *entry
	err    error
}

// sentAt is since when the store has been silent, if it was asked.
func (f *flight) sentAt() (at time.Duration, sent bool) {
	batch := f.sent.Load()
	if batch == nil {
		return 0, false
	}
	return time.Duration(batch.Load()), true
}

// answered: the store did, though perhaps not what it was asked; its whole batch waits anew.
func (f *flight) answered(now time.Duration) { f.sent.Load().Store(int64(now)) }

// flights are the lookups under way, one a key. A key that is not cached is
// looked up by a goroutine of its own, which waits for a slot. Known keys queue:
// batchesAtOnce goroutines at most take what has gathered, and end with the queue.
type flights struct {
	mu       sync.Mutex
	underWay map[Hash]*flight
	queue    []*flight
	limit    int // of the queue
	workers  int // goroutines that work the queue off
	closed   bool
	running  sync.WaitGroup // all goroutines
}

func newFlights(limit int) flights {
	return flights{underWay: map[Hash]*flight{}, limit: limit}
}

// join starts the lookup of a key, or joins the one under way. It ends by
// itself, whether anybody waits for it or not.
func (a *Authenticator) join(hash Hash, client string, known bool) (f *flight, own bool) {
	fs := &a.flights
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.underWay[hash]; f != nil {
		return f, false
	}
	f = &flight{hash: hash, landed: make(chan struct{})}
	switch {
	case fs.closed:
		return f.cancelled(errClosed), true
	case !known:
		fs.running.Go(func() { a.load(f, client) })
	case len(fs.queue) == fs.limit:
		return f.cancelled(errBusy), true
	default:
		fs.queue = append(fs.queue, f)
		if fs.workers < batchesAtOnce {
			fs.workers++
			fs.running.Go(a.verifyQueued)
		}
	}
	fs.underWay[hash] = f
	return f, true
}

// cancelled is a flight that never began.
func (f *flight) cancelled(why error) *flight {
	f.err = unavailable(why)
	close(f.landed)
	return f
}

// batch takes the first of the queue. The worker that gets none ends.
func (fs *flights) batch() []*flight {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := min(len(fs.queue), batchSize)
	if n == 0 {
		fs.queue = nil
		fs.workers--
		return nil
	}
	batch := fs.queue[:n:n]
	fs.queue = fs.queue[n:]
	return batch
}

// land hands the results over. Who joins from now on begins another lookup.
func (fs *flights) land(batch ...*flight) {
	fs.mu.Lock()
	for _, f := range batch {
		delete(fs.underWay, f.hash)
	}
	fs.mu.Unlock()
	for _, f := range batch {
		close(f.landed)
	}
}

// close lets no more begin, ends those under way and waits for them.
func (fs *flights) close(end func()) {
	fs.mu.Lock()
	fs.closed = true
	fs.mu.Unlock()
	end()
	fs.running.Wait()
}
