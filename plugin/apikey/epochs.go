package apikey

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"
)

// epoch is a place in the order of what is heard: the number of the latest event. What was looked up
// in one is worth nothing once a later event concerns the key: it may have been revoked since. It
// must be verified again once the listener has listened again: it may have missed an event.
type epoch uint64

const stripes = 4096

// stripe is a share of all keys, or of all workspaces, by their hash.
type stripe uint16

func stripeOf(hash Hash) stripe { return stripe(binary.LittleEndian.Uint16(hash[:]) % stripes) }

func stripeOfWorkspace(id string) stripe { return stripeOf(sha256.Sum256([]byte(id))) }

// epochs remembers when each key, each workspace and all of them last had an event. An entry is
// compared with that on each use, so nothing ever has to be removed from a cache for a revocation to
// hold. As the epoch is one number for all, it can be taken before the store says which workspace a
// key belongs to.
type epochs struct {
	mu     sync.Mutex // orders the events
	latest atomic.Uint64

	keys         [stripes]atomic.Uint64 // the latest event of each
	workspaces   [stripes]atomic.Uint64
	anyWorkspace atomic.Uint64
	all          atomic.Uint64 // the latest that was not understood
	listens      atomic.Uint64
}

func (e *epochs) now() epoch { return epoch(e.latest.Load()) }

// advance begins an epoch with an event of these, and returns it.
func (e *epochs) advance(of ...*atomic.Uint64) epoch {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.begin(of...)
}

func (e *epochs) begin(of ...*atomic.Uint64) epoch {
	next := e.latest.Load() + 1
	for _, last := range of {
		last.Store(next)
	}
	e.latest.Store(next)
	return epoch(next)
}

// retire makes whatever is cached of a key worthless, as the store, asked in the epoch since, does not
// know it. It returns an epoch in which that answer holds; since if an event has come before.
func (e *epochs) retire(hash Hash, since epoch) epoch {
	e.mu.Lock()
	defer e.mu.Unlock()
	overtaken := e.concernUnknown(hash, since) || e.listened(since)
	retired := e.begin(&e.keys[stripeOf(hash)])
	if overtaken {
		return since
	}
	return retired
}

// concern reports whether an event after since concerns a key of this workspace.
func (e *epochs) concern(hash Hash, workspace stripe, since epoch) bool {
	return e.later(since, hash, &e.workspaces[workspace])
}

// concernUnknown is concern for a key that the store does not know: any workspace may turn out to be
// its own.
func (e *epochs) concernUnknown(hash Hash, since epoch) bool {
	return e.later(since, hash, &e.anyWorkspace)
}

func (e *epochs) later(since epoch, hash Hash, workspace *atomic.Uint64) bool {
	return max(e.keys[stripeOf(hash)].Load(), workspace.Load(), e.all.Load()) > uint64(since)
}

// listened reports whether the listener has listened again after since.
func (e *epochs) listened(since epoch) bool { return e.listens.Load() > uint64(since) }

// notify takes the payload of a notification.
func (e *epochs) notify(payload string) {
	switch about := subjectOf(payload); {
	case about.workspace != "":
		e.advance(&e.workspaces[stripeOfWorkspace(about.workspace)], &e.anyWorkspace)
	case about.key != nil:
		e.advance(&e.keys[stripeOf(*about.key)])
	default:
		e.advance(&e.all)
	}
}

// subject is what a notification is about: a key, the keys of a workspace or, if it is neither, every key.
type subject struct {
	key       *Hash
	workspace string
}

// subjectOf reads a payload: `key:<hex SHA-256>` is about that key, `workspace:<id>` about the keys of
// that workspace, and whatever else a site may send about every key.
func subjectOf(payload string) (about subject) {
	if id, ok := strings.CutPrefix(payload, "workspace:"); ok {
		return subject{workspace: id}
	}
	var hash Hash
	digits, ok := strings.CutPrefix(payload, "key:")
	if !ok || len(digits) != hex.EncodedLen(len(hash)) {
		return subject{}
	}
	if _, err := hex.Decode(hash[:], []byte(digits)); err != nil {
		return subject{}
	}
	return subject{key: &hash}
}

// Announces reports whether a notification with this payload makes an edge look this key up again.
func Announces(payload string, hash Hash, workspaceID string) bool {
	switch about := subjectOf(payload); {
	case about.workspace != "":
		return about.workspace == workspaceID
	case about.key != nil:
		return *about.key == hash
	}
	return true
}
