package explain

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

const (
	deniedShards  = 16
	deniedKeys    = 32 // of a shard, in a generation
	deniedPeriod  = 10 * time.Minute
	maxMostDenied = 20
)

// denials counts the denials of the keys that their limits deny most (Metwally et al., "Efficient
// computation of frequent and top-k elements", 2005). It counts in generations of deniedPeriod, and
// keeps two.
type denials struct{ shards [deniedShards]deniedShard }

type deniedShard struct {
	mu                sync.Mutex
	generation        int64 // of current
	current, previous []counter
}

type counter struct {
	hash               uint64
	keyID, workspaceID string
	counted            int // at most this many denials
	over               int // may be those of other keys
}

var denied denials

// Deny counts a request that a limit denied to a key.
func Deny(keyID, workspaceID string, now time.Time) { denied.count(keyID, workspaceID, now) }

func (d *denials) count(keyID, workspaceID string, now time.Time) {
	hash := maphash.String(seed, keyID)
	s := &d.shards[hash%deniedShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rotate(now)
	least := 0
	for i := range s.current {
		c := &s.current[i]
		if c.hash == hash && c.keyID == keyID {
			c.counted++
			return
		}
		if c.counted < s.current[least].counted {
			least = i
		}
	}
	if len(s.current) < deniedKeys {
		s.current = append(s.current, counter{hash, keyID, workspaceID, 1, 0})
		return
	}
	before := s.current[least].counted
	s.current[least] = counter{hash, keyID, workspaceID, before + 1, before}
}

func generationOf(now time.Time) int64 { return now.Unix() / int64(deniedPeriod.Seconds()) }

// rotate begins a new generation if it is time. The caller holds mu.
func (s *deniedShard) rotate(now time.Time) {
	generation := generationOf(now)
	if generation == s.generation || generation == s.generation-1 { // -1: now may be before another request's
		return
	}
	s.previous = nil
	if generation == s.generation+1 {
		s.previous = s.current
	}
	s.current, s.generation = nil, generation
}

// Denied is the keys that their limits denied most.
type Denied struct {
	Since time.Time   `json:"since"` // 10 to 20 minutes ago
	Keys  []DeniedKey `json:"keys"`  // at most 20, the most denied first
}

// DeniedKey is a key that its limit denied requests.
type DeniedKey struct {
	KeyID       string `json:"key_id"`
	WorkspaceID string `json:"workspace_id"`
	Denied      int    `json:"denied"` // at least this many requests
}

// MostDenied returns the keys that their limits have denied most.
func MostDenied() Denied { return denied.most(time.Now()) }

func (d *denials) most(now time.Time) Denied {
	began := time.Unix((generationOf(now)-1)*int64(deniedPeriod.Seconds()), 0).UTC()
	result := Denied{Since: began, Keys: []DeniedKey{}}
	for i := range d.shards {
		result.Keys = append(result.Keys, d.shards[i].keys(now)...)
	}
	slices.SortFunc(result.Keys, func(a, b DeniedKey) int {
		return cmp.Or(cmp.Compare(b.Denied, a.Denied), cmp.Compare(a.KeyID, b.KeyID))
	})
	result.Keys = result.Keys[:min(len(result.Keys), maxMostDenied)]
	return result
}

// keys returns the keys of both generations.
func (s *deniedShard) keys(now time.Time) (keys []DeniedKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rotate(now)
	for _, c := range slices.Concat(s.current, s.previous) {
		i := slices.IndexFunc(keys, func(k DeniedKey) bool { return k.KeyID == c.keyID })
		if i < 0 {
			i = len(keys)
			keys = append(keys, DeniedKey{KeyID: c.keyID, WorkspaceID: c.workspaceID})
		}
		keys[i].Denied += c.counted - c.over
	}
	return keys
}
