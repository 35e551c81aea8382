package backend

import "sync"

// InFlight counts the requests in flight of keys and workspaces. Only those that have some take
// memory.
type InFlight struct {
	mu       sync.Mutex
	requests map[inFlightOwner]int
}

type inFlightOwner struct{ by, id string }

// Serving counts the requests that this process serves. It belongs to the process, so that a reload
// does not forget requests.
var Serving InFlight

// Enter counts a request of a key or workspace, unless limit of them are in flight already. If it
// reports true, Leave must follow.
func (f *InFlight) Enter(by, id string, limit int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	owner := inFlightOwner{by, id}
	if f.requests[owner] >= limit {
		return false
	}
	if f.requests == nil {
		f.requests = make(map[inFlightOwner]int)
	}
	f.requests[owner]++
	return true
}

// Within reports whether at most limit requests of an owner are in flight.
func (f *InFlight) Within(by, id string, limit int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[inFlightOwner{by, id}] <= limit
}

// Leave ends what Enter has counted.
func (f *InFlight) Leave(by, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	owner := inFlightOwner{by, id}
	if f.requests[owner]--; f.requests[owner] <= 0 {
		delete(f.requests, owner)
	}
}
