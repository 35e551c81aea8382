package apikey

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"
)

// epoch is the number of an event. See "Keys: caching and revocation" in ARCHITECTURE.md.
type epoch uint64

const stripes = 4096

// stripe is the index of a counter that several keys, or several workspaces, share by their hash.
type stripe uint16

func stripeOf(hash Hash) stripe { return stripe(binary.LittleEndian.Uint16(hash[:]) % stripes) }

func stripeOfWorkspace(id string) stripe { return stripeOf(sha256.Sum256([]byte(id))) }

// epochs records the latest event of each key, of each workspace and of all keys. All count in one
// sequence, so an epoch can be taken before the store says which workspace a key belongs to.
type epochs struct {
	mu     sync.Mutex // serializes the events
	latest atomic.Uint64

	keys         [stripes]atomic.Uint64
	workspaces   [stripes]atomic.Uint64
	anyWorkspace atomic.Uint64
	all          atomic.Uint64 // payloads that name neither a key nor a workspace
	reconnects   atomic.Uint64 // calls of ListenerUp
}

func (e *epochs) now() epoch { return epoch(e.latest.Load()) }

// advance records an event in counters and returns its epoch.
func (e *epochs) advance(counters ...*atomic.Uint64) epoch {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.advanceLocked(counters...)
}

func (e *epochs) advanceLocked(counters ...*atomic.Uint64) epoch {
	next := e.latest.Load() + 1
	for _, counter := range counters {
		counter.Store(next)
	}
	e.latest.Store(next)
	return epoch(next)
}

// invalidate outdates the cached entry of a key that the store, asked in epoch since, did not have.
// It returns the epoch of that answer: the new one, or since if another event came in between.
func (e *epochs) invalidate(hash Hash, since epoch) epoch {
	e.mu.Lock()
	defer e.mu.Unlock()
	overtaken := e.unknownOutdated(hash, since) || e.reconnectedSince(since)
	next := e.advanceLocked(&e.keys[stripeOf(hash)])
	if overtaken {
		return since
	}
	return next
}

// outdated reports whether an event after since concerns the key, which belongs to workspace.
func (e *epochs) outdated(hash Hash, workspace stripe, since epoch) bool {
	return e.eventAfter(since, hash, &e.workspaces[workspace])
}

// unknownOutdated is outdated for a key that the store did not have: it may since have been added
// to any workspace.
func (e *epochs) unknownOutdated(hash Hash, since epoch) bool {
	return e.eventAfter(since, hash, &e.anyWorkspace)
}

func (e *epochs) eventAfter(since epoch, hash Hash, workspace *atomic.Uint64) bool {
	return max(e.keys[stripeOf(hash)].Load(), workspace.Load(), e.all.Load()) > uint64(since)
}

// reconnectedSince reports whether the listener came up after since.
func (e *epochs) reconnectedSince(since epoch) bool { return e.reconnects.Load() > uint64(since) }

// notify records a notification. docs/keys.md lists the payloads.
func (e *epochs) notify(payload string) {
	switch t := parsePayload(payload); {
	case t.workspace != "":
		e.advance(&e.workspaces[stripeOfWorkspace(t.workspace)], &e.anyWorkspace)
	case t.key != nil:
		e.advance(&e.keys[stripeOf(*t.key)])
	default:
		e.advance(&e.all)
	}
}

// target is what a notification concerns: a key, a workspace's keys, or all keys if it is zero.
type target struct {
	key       *Hash
	workspace string
}

func parsePayload(payload string) target {
	if id, ok := strings.CutPrefix(payload, "workspace:"); ok {
		return target{workspace: id}
	}
	var hash Hash
	digits, ok := strings.CutPrefix(payload, "key:")
	if !ok || len(digits) != hex.EncodedLen(len(hash)) {
		return target{}
	}
	if _, err := hex.Decode(hash[:], []byte(digits)); err != nil {
		return target{}
	}
	return target{key: &hash}
}

// Announces reports whether a hoko_keys notification with this payload concerns the key with this
// hash and workspace, so that edges look it up again.
func Announces(payload string, hash Hash, workspaceID string) bool {
	switch t := parsePayload(payload); {
	case t.workspace != "":
		return t.workspace == workspaceID
	case t.key != nil:
		return *t.key == hash
	}
	return true
}
