package explain

import (
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"time"

	"hoko.to/edge/plugin/apikey"
)

const (
	buckets    = 64
	bucketSize = 64
	// clientClasses bounds the owners of requests without a workspace, whatever addresses clients use.
	clientClasses = 256
	// maxOfKey bounds the events of a key that are shown.
	maxOfKey = 20
)

// Owner is whose events give way to an event once there is no room: those of the same workspace, or
// for requests without one, of clients in the same class. Slow requests do not displace others.
type Owner uint64

var seed = maphash.MakeSeed()

// slowBit distinguishes the owner of slow requests. It does not change the bucket.
const slowBit = 1 << 63

// OwnerOf returns the owner of a request of this workspace, or if it is "", from this client address.
func OwnerOf(workspaceID, client string, slow bool) Owner {
	owner := uint64(0)
	if workspaceID != "" {
		owner = maphash.String(seed, workspaceID) &^ slowBit
	} else {
		addr := apikey.ClientAddr(client).As16()
		owner = maphash.Bytes(seed, addr[:]) % clientClasses
	}
	if slow {
		owner |= slowBit
	}
	return Owner(owner)
}

// events holds recent events: at most buckets · bucketSize.
type events struct{ buckets [buckets]bucket }

// bucket holds the recent events of some owners. If it is full, a new event replaces the oldest one
// of the owner that has most, so that a flood of one owner displaces no event of the others.
type bucket struct {
	mu     sync.Mutex
	seq    uint64
	slots  [bucketSize]slot // of events
	events []Event
}

type slot struct {
	owner Owner
	seq   uint64 // larger for newer events
}

var recent events

// Remember remembers an event.
func Remember(owner Owner, e *Event) { recent.put(owner, e) }

func (all *events) put(owner Owner, e *Event) {
	b := &all.buckets[owner%buckets]
	b.mu.Lock()
	defer b.mu.Unlock()
	i := len(b.events)
	if i < bucketSize {
		b.events = append(b.events, *e)
	} else {
		i = b.victim(owner)
		b.events[i] = *e
	}
	b.seq++
	b.slots[i] = slot{owner, b.seq}
}

// victim returns the index of the event that a new one of this owner replaces.
func (b *bucket) victim(newcomer Owner) (oldest int) {
	var owners [bucketSize + 1]struct {
		owner  Owner
		events int
	}
	owners[0].owner, owners[0].events = newcomer, 1
	distinct, most := 1, 0
	for _, s := range b.slots {
		i := 0
		for i < distinct && owners[i].owner != s.owner {
			i++
		}
		if i == distinct {
			owners[i].owner = s.owner
			distinct++
		}
		owners[i].events++
		if owners[i].events > owners[most].events {
			most = i
		}
	}
	everyoneHasOne := owners[most].events == 1
	seq := uint64(math.MaxUint64)
	for i, s := range b.slots {
		if s.seq < seq && (everyoneHasOne || s.owner == owners[most].owner) {
			oldest, seq = i, s.seq
		}
	}
	return oldest
}

// each visits all events until visit returns true.
func (all *events) each(visit func(*Event) (done bool)) {
	for i := range all.buckets {
		if all.buckets[i].each(visit) {
			return
		}
	}
}

func (b *bucket) each(visit func(*Event) (done bool)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.events {
		if visit(&b.events[i]) {
			return true
		}
	}
	return false
}

// find returns the event of a request, and whether it is remembered.
func (all *events) find(requestID string) (found Event, ok bool) {
	all.each(func(e *Event) bool {
		if ok = e.RequestID == requestID; ok {
			found = *e
		}
		return ok
	})
	return found, ok
}

// ofKey returns the newest events of a key, the newest first.
func (all *events) ofKey(id string) []Event {
	found := []Event{}
	all.each(func(e *Event) bool {
		if e.KeyID == id {
			found = append(found, *e)
		}
		return false
	})
	slices.SortFunc(found, func(a, b Event) int { return b.Time.Compare(a.Time) })
	return found[:min(len(found), maxOfKey)]
}

// summary returns how many events are remembered, and when the oldest began.
func (all *events) summary() (n int, oldest time.Time) {
	all.each(func(e *Event) bool {
		if n++; oldest.IsZero() || e.Time.Before(oldest) {
			oldest = e.Time
		}
		return false
	})
	return n, oldest
}
