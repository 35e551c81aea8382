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
