package apikey

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	unknownSize = 16_384
	unknownTTL  = 5 * time.Second
)

// unknownKeys remembers for a moment what the store did not know. It is apart
// from the cache of keys, so that guessing cannot push a real one out.
type unknownKeys struct {
	mu    sync.Mutex
	until *simplelru.LRU[Hash, unknownKey]
}

type unknownKey struct {
	epoch epoch
	until time.Duration
}

func newUnknownKeys() (*unknownKeys, error) {
	until, err := simplelru.NewLRU[Hash, unknownKey](unknownSize, nil)
	return &unknownKeys{until: until}, err
}

// has reports whether the store, asked a moment ago, did not know the key, and
// nothing was heard of it since.
func (u *unknownKeys) has(hash Hash, epoch epoch, now time.Duration) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	key, ok := u.until.Get(hash)
	return ok && now < key.until && key.epoch == epoch
}

func (u *unknownKeys) put(hash Hash, epoch epoch, now time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.until.Add(hash, unknownKey{epoch, now + unknownTTL})
}

func (u *unknownKeys) len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.until.Len()
}
