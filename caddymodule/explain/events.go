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
	// clientClasses bounds the owners of requests without a workspace, whatever their addresses.
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

// OwnerOf returns the owner of a request of this workspace or, if it is "", of this client address.
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
	shares []share // of all owners that have events
}

// share is how many events an owner has.
type share struct {
	owner  Owner
	events int
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
		displaced := b.largest(owner)
		i = b.oldestOf(displaced)
		b.events[i] = *e
		b.change(displaced, -1)
	}
	b.change(owner, 1)
	b.seq++
	b.slots[i] = slot{owner, b.seq}
}

// largest returns the owner that has most events if the newcomer gets one more.
func (b *bucket) largest(newcomer Owner) Owner {
	var most share
	for _, s := range b.shares {
		if s.owner == newcomer {
			s.events++
		}
		if s.events > most.events {
			most = s
		}
	}
	return most.owner
}

// oldestOf returns the index of an owner's oldest event.
func (b *bucket) oldestOf(owner Owner) (oldest int) {
	seq := uint64(math.MaxUint64)
	for i := range b.slots {
		if s := &b.slots[i]; s.owner == owner && s.seq < seq {
			oldest, seq = i, s.seq
		}
	}
	return oldest
}

// change adds n to the events of an owner.
func (b *bucket) change(owner Owner, n int) {
	for i := range b.shares {
		s := &b.shares[i]
		if s.owner != owner {
			continue
		}
		if s.events += n; s.events == 0 {
			b.shares = slices.Delete(b.shares, i, i+1)
		}
		return
	}
	b.shares = append(b.shares, share{owner, n})
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
