package apikey

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// listenerDownTTL bounds the TTL of cached keys while notifications may be missed.
	listenerDownTTL = 5 * time.Second
	sweepInterval   = time.Minute
	// entryBytes is the size of an ordinary entry, with a few allowed host names.
	entryBytes = 512

	unknownSize = 16_384
	unknownTTL  = 5 * time.Second
)

// entry is a cached key. Entries are immutable except for used. They hold the Key by value to save
// memory.
type entry struct {
	key       Key
	workspace stripe
	used      atomic.Uint32 // the last minute in which the key was used, by lookups.minute
	epoch     epoch         // before the store was asked
	checked   time.Duration // lookups.now before the store was asked
}

func newEntry(key *Key, hash Hash, epoch epoch, checked time.Duration) *entry {
	e := &entry{key: *key, workspace: stripeOfWorkspace(key.WorkspaceID), epoch: epoch, checked: checked}
	ids := key.ID + key.WorkspaceID // one allocation instead of two
	e.key.ID, e.key.WorkspaceID = ids[:len(key.ID)], ids[len(key.ID):]
	e.key.Hash = hash
	e.key.AllowedHostnames = canonicalPatterns(key.AllowedHostnames)
	return e
}

// weight returns the size of the entry in units of an ordinary one.
func (e *entry) weight() int64 {
	bytes := len(e.key.ID) + len(e.key.WorkspaceID)
	for _, pattern := range e.key.AllowedHostnames {
		bytes += len(pattern) + int(unsafe.Sizeof(pattern))
	}
	return 1 + int64(bytes/entryBytes)
}

// cache holds the keys that lookups found, valid or not. Callers check whether an entry is still
// current, so a Set that ristretto delays or drops does no harm. The cache enforces ttl itself:
// ristretto's expiry reads the clock at each Get and needs another map.
type cache struct {
	size int
	ttl  time.Duration
	now  func() time.Duration // lookups.now

	once    sync.Once                        // starts the engine, or prevents its start after close
	mu      sync.RWMutex                     // held while the engine is used: a Set during its Close panics
	engine  *ristretto.Cache[uint64, *entry] // nil before the first put and after close
	err     error                            // from starting the engine
	sweeper *time.Timer
}

// newCache starts no goroutine. The first put starts the engine and the sweeper; close ends them.
func newCache(size int, ttl time.Duration, now func() time.Duration) *cache {
	return &cache{size: size, ttl: ttl, now: now}
}

func (c *cache) get(hash Hash, now time.Duration) *entry {
	c.mu.RLock()
	e, _ := c.engine.Get(engineKey(hash))
	c.mu.RUnlock()
	if e == nil || e.key.Hash != hash || now-e.checked >= c.ttl {
		return nil
	}
	return e
}

func (c *cache) put(e *entry) error {
	c.once.Do(c.start)
	c.mu.RLock()
	defer c.mu.RUnlock()
	c.engine.Set(engineKey(e.key.Hash), e, min(e.weight(), int64(c.size)))
	return c.err
}

func (c *cache) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.engine, c.err = newEngine(c.size); c.err != nil {
		c.err = fmt.Errorf("starting the key cache: %w", c.err)
		return
	}
	c.sweeper = time.AfterFunc(sweepInterval, c.sweep)
}

// sweep removes the entries older than ttl. It may also remove one that is being replaced; its key
// is then looked up again.
func (c *cache) sweep() {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.engine == nil {
		return
	}
	var old []uint64
	now := c.now()
	c.engine.IterValues(func(e *entry) bool {
		if now-e.checked >= c.ttl {
			old = append(old, engineKey(e.key.Hash))
		}
		return false
	})
	for _, key := range old {
		c.engine.Del(key)
	}
	c.sweeper.Reset(sweepInterval)
}

func newEngine(size int) (*ristretto.Cache[uint64, *entry], error) {
	return ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		NumCounters:        10 * int64(size),
		MaxCost:            int64(size),
		BufferItems:        512,  // a full buffer of hits wakes a goroutine
		IgnoreInternalCost: true, // the cost is in ordinary entries
	})
}

// engineKey returns the part of a hash that ristretto can take as its key. get compares the rest.
func engineKey(hash Hash) uint64 { return binary.LittleEndian.Uint64(hash[:]) }

// each visits all keys until visit returns true.
func (c *cache) each(visit func(*entry) (done bool)) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.engine != nil {
		c.engine.IterValues(visit)
	}
}

// len visits all keys.
func (c *cache) len() (keys int) {
	c.each(func(*entry) bool { keys++; return false })
	return keys
}

// close empties the cache. Later puts have no effect. It may be called more than once.
func (c *cache) close() {
	c.once.Do(func() {})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.engine == nil {
		return
	}
	c.sweeper.Stop()
	c.engine.Close()
	c.engine = nil
}

// fresh reports whether the entry may be used without a lookup.
func (l *lookups) fresh(e *entry, now time.Duration) bool {
	ttl := l.ttl
	if !l.listenerUp.Load() {
		ttl = min(ttl, listenerDownTTL)
	}
	return !l.overtaken(e) && !l.epochs.reconnectedSince(e.epoch) && now-e.checked < ttl
}

// usableStale reports whether the entry may be used if the store cannot answer.
func (l *lookups) usableStale(e *entry, now time.Duration) bool {
	return !l.overtaken(e) && now-e.checked < l.stale
}

// overtaken reports whether an event has concerned the key since the store was asked for it.
func (l *lookups) overtaken(e *entry) bool {
	return l.epochs.outdated(e.key.Hash, e.workspace, e.epoch)
}

// remember caches the store's answer about a key, which is nil if there is no such key. The error
// is ErrNotFound or errOvertaken, or wraps ErrUnavailable.
func (l *lookups) remember(hash Hash, key *Key, epoch epoch, asked time.Duration) (*entry, error) {
	before := l.baseline(hash, asked)
	if key == nil {
		l.metrics.lookedUp(ErrNotFound)
		if l.epochs.unknownOutdated(hash, epoch) {
			return nil, errOvertaken
		}
		since := l.rememberUnknown(hash, epoch, asked)
		if before != nil {
			l.expectNotification(before, since)
		}
		return nil, ErrNotFound
	}
	l.metrics.lookedUp(nil)
	e := newEntry(key, hash, epoch, asked)
	if l.overtaken(e) {
		return nil, errOvertaken
	}
	if err := l.keys.put(e); err != nil {
		return nil, unavailable(err)
	}
	if before != nil && !sameKey(&before.key, &e.key) {
		l.expectNotification(before, before.epoch)
	}
	return e, nil
}

// rememberUnknown records that the store does not know the key, and returns the epoch from which
// that holds. It invalidates a cached entry of the key, which could otherwise be served stale.
func (l *lookups) rememberUnknown(hash Hash, since epoch, asked time.Duration) epoch {
	if l.keys.get(hash, asked) != nil {
		since = l.epochs.invalidate(hash, since)
	}
	l.unknown.put(hash, since, asked)
	return since
}

// unknownKeys is the negative cache. It is separate from cache so that guesses cannot evict keys.
type unknownKeys struct {
	mu  sync.Mutex
	lru *simplelru.LRU[Hash, unknownKey]
}

type unknownKey struct {
	epoch epoch
	until time.Duration // on the clock of lookups.now
}

func newUnknownKeys() (*unknownKeys, error) {
	lru, err := simplelru.NewLRU[Hash, unknownKey](unknownSize, nil)
	return &unknownKeys{lru: lru}, err
}

// get returns the epoch of a lookup within unknownTTL that did not find the key.
func (u *unknownKeys) get(hash Hash, now time.Duration) (since epoch, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key, ok := u.lru.Get(hash)
	return key.epoch, ok && now < key.until
}

func (u *unknownKeys) put(hash Hash, since epoch, now time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.lru.Add(hash, unknownKey{since, now + unknownTTL})
}

func (u *unknownKeys) len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.lru.Len()
}
