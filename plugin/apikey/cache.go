package apikey

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

// entry is a key with what decides how long it may be used. Entries are
// immutable, and hold the key itself: a hundred thousand of them count.
type entry struct {
	key Key
	// epoch of the key, and moment on the authenticator's clock, from before
	// the store was asked.
	epoch   epoch
	checked time.Duration
}

func newEntry(key *Key, hash Hash, epoch epoch, checked time.Duration) *entry {
	e := &entry{key: *key, epoch: epoch, checked: checked}
	e.key.Hash = hash
	e.key.AllowedHostnames = canonicalPatterns(key.AllowedHostnames)
	return e
}

// cache holds the keys that were found, whatever their state. Whether an entry
// may be used is its reader's to decide, so it does not matter that the engine
// sets late, or drops what it is given.
type cache struct {
	size int
	ttl  time.Duration

	// mu keeps the engine from closing while it is used: it would panic.
	mu     sync.RWMutex
	engine *ristretto.Cache[uint64, *entry] // nil before the first put and after close
	closed bool
}

// newCache starts nothing: the engine's two goroutines come with the first put
// and end with close.
func newCache(size int, ttl time.Duration) *cache { return &cache{size: size, ttl: ttl} }

func (c *cache) get(hash Hash) *entry {
	c.mu.RLock()
	e, _ := c.engine.Get(slot(hash))
	c.mu.RUnlock()
	if e == nil || e.key.Hash != hash {
		return nil
	}
	return e
}

func (c *cache) put(e *entry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	if c.engine == nil {
		engine, err := newEngine(c.size)
		if err != nil {
			return fmt.Errorf("starting the key cache: %w", err)
		}
		c.engine = engine
	}
	c.engine.SetWithTTL(slot(e.key.Hash), e, 1, c.ttl)
	return nil
}

func newEngine(size int) (*ristretto.Cache[uint64, *entry], error) {
	return ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		NumCounters:        10 * int64(size),
		MaxCost:            int64(size),
		BufferItems:        64,
		IgnoreInternalCost: true, // a cost of 1 is one key
	})
}

// slot is the engine's name for a hash, which it cannot take whole: get compares the rest.
func slot(hash Hash) uint64 { return binary.LittleEndian.Uint64(hash[:]) }

func (c *cache) len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.engine == nil {
		return 0
	}
	return c.size - int(c.engine.RemainingCost())
}

// close empties the cache for good. It is safe at any time, and more than once.
func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.engine.Close()
	c.engine = nil
}
