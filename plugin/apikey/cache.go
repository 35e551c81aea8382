package apikey

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// deafTrust is how long a key is used without asking the store while notifications may be missed.
const deafTrust = 5 * time.Second

const (
	// sweepInterval is that of the search for entries that are of no more use.
	sweepInterval = time.Minute
	// entryBytes is what an ordinary entry takes, whose key may be used on a few hosts.
	entryBytes = 512

	unknownSize = 16_384
	unknownTTL  = 5 * time.Second
)

// entry is a key with what decides how long it may be used. Entries are
// immutable, and hold the key itself: a hundred thousand of them count.
type entry struct {
	key       Key
	workspace stripe
	// epoch, and moment on the lookups' clock, from before the store was asked.
	epoch   epoch
	checked time.Duration
}

func newEntry(key *Key, hash Hash, epoch epoch, checked time.Duration) *entry {
	e := &entry{key: *key, workspace: stripeOfWorkspace(key.WorkspaceID), epoch: epoch, checked: checked}
	ids := key.ID + key.WorkspaceID // one allocation instead of two
	e.key.ID, e.key.WorkspaceID = ids[:len(key.ID)], ids[len(key.ID):]
	e.key.Hash = hash
	e.key.AllowedHostnames = canonicalPatterns(key.AllowedHostnames)
	return e
}

// weight is the number of ordinary entries that take as much memory.
func (e *entry) weight() int64 {
	bytes := len(e.key.ID) + len(e.key.WorkspaceID)
	for _, pattern := range e.key.AllowedHostnames {
		bytes += len(pattern) + int(unsafe.Sizeof(pattern))
	}
	return 1 + int64(bytes/entryBytes)
}

// cache holds the keys that were found, whatever their state. Whether an entry may be used is its
// reader's to decide, so it does not matter that the engine sets late, or drops what it is given.
//
// It judges by itself what is older than ttl: the engine's own expiry reads the
// clock at each Get, and holds every key in one more map.
type cache struct {
	size int
	ttl  time.Duration
	now  func() time.Duration // of the clock that entries are dated by

	once sync.Once // starts the engine, or keeps it from starting
	// mu keeps the engine from closing while it is used: it would panic.
	mu      sync.RWMutex
	engine  *ristretto.Cache[uint64, *entry] // nil before the first put and after close
	err     error                            // of starting it
	sweeper *time.Timer
}

// newCache starts nothing: the engine's two goroutines and the sweeper come with
// the first put and end with close.
func newCache(size int, ttl time.Duration, now func() time.Duration) *cache {
	return &cache{size: size, ttl: ttl, now: now}
}

func (c *cache) get(hash Hash, now time.Duration) *entry {
	c.mu.RLock()
	e, _ := c.engine.Get(slot(hash))
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
	c.engine.Set(slot(e.key.Hash), e, min(e.weight(), int64(c.size)))
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

// sweep frees what nobody asks for any more. An entry that is renewed at this
// moment may go with it: its key is looked up again.
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
			old = append(old, slot(e.key.Hash))
		}
		return false
	})
	for _, slot := range old {
		c.engine.Del(slot)
	}
	c.sweeper.Reset(sweepInterval)
}

func newEngine(size int) (*ristretto.Cache[uint64, *entry], error) {
	return ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		NumCounters:        10 * int64(size),
		MaxCost:            int64(size),
		BufferItems:        512,  // hits that are counted at once: it wakes a goroutine each time
		IgnoreInternalCost: true, // a cost of 1 is one ordinary key
	})
}

// slot is the engine's name for a hash, which it cannot take whole: get compares the rest.
func slot(hash Hash) uint64 { return binary.LittleEndian.Uint64(hash[:]) }

// len counts the keys that are held. It goes through all of them.
func (c *cache) len() (keys int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.engine == nil {
		return 0
	}
	c.engine.IterValues(func(*entry) bool { keys++; return false })
	return keys
}

// close empties the cache for good. It is safe at any time, and more than once.
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

// fresh reports whether the store need not be asked.
func (l *lookups) fresh(e *entry, now time.Duration) bool {
	trust := l.ttl
	if !l.listening.Load() {
		trust = min(trust, deafTrust)
	}
	return !l.overtaken(e) && !l.epochs.listened(e.epoch) && now-e.checked < trust
}

// usableStale reports whether the entry may be used if the store cannot answer.
func (l *lookups) usableStale(e *entry, now time.Duration) bool {
	return !l.overtaken(e) && now-e.checked < l.stale
}

// overtaken reports whether an event concerned the key since the store was asked for it.
func (l *lookups) overtaken(e *entry) bool {
	return l.epochs.concern(e.key.Hash, e.workspace, e.epoch)
}

// remember caches what the store answered about a key, nil for nothing.
func (l *lookups) remember(hash Hash, key *Key, epoch epoch, asked time.Duration) (*entry, error) {
	before := l.unheardOf(hash, asked)
	if key == nil {
		l.metrics.lookedUp(ErrNotFound)
		if l.epochs.concernUnknown(hash, epoch) {
			return nil, errOvertaken
		}
		since := l.forget(hash, epoch, asked)
		if before != nil {
			l.suspect(before, since)
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
		l.suspect(before, before.epoch)
	}
	return e, nil
}

// forget remembers that the store does not know the key, and returns the epoch in which that holds.
// What is cached of it all the same must not come back as a stale one.
func (l *lookups) forget(hash Hash, since epoch, asked time.Duration) epoch {
	if l.keys.get(hash, asked) != nil {
		since = l.epochs.retire(hash, since)
	}
	l.unknown.put(hash, since, asked)
	return since
}

// unknownKeys remembers for a moment what the store did not know. It is apart
// from the cache of keys, so that guessing cannot push a real one out.
type unknownKeys struct {
	mu    sync.Mutex
	until *simplelru.LRU[Hash, unknownKey]
}

type unknownKey struct {
	asked epoch
	until time.Duration
}

func newUnknownKeys() (*unknownKeys, error) {
	until, err := simplelru.NewLRU[Hash, unknownKey](unknownSize, nil)
	return &unknownKeys{until: until}, err
}

// get returns when the store was asked, a moment ago, for a key that it did not know.
func (u *unknownKeys) get(hash Hash, now time.Duration) (asked epoch, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key, ok := u.until.Get(hash)
	return key.asked, ok && now < key.until
}

func (u *unknownKeys) put(hash Hash, asked epoch, now time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.until.Add(hash, unknownKey{asked, now + unknownTTL})
}

func (u *unknownKeys) len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.until.Len()
}
