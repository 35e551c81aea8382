package apikey

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync/atomic"
)

// epoch is what had been heard about a key at some moment. What was looked up under one is worth
// nothing once events has moved: the key may have been revoked since. It must be verified again
// once listens has moved: the listener was away, and may have missed an event.
//
// The counters may wrap: no entry is trusted for as long as four billion events take.
type epoch struct{ events, listens uint32 }

const stripes = 4096

// epochs counts what is heard. Counters only grow, so nothing ever has to be
// removed from a cache for a revocation to hold.
type epochs struct {
	keys    [stripes]atomic.Uint32 // events of single keys, striped by hash
	all     atomic.Uint32          // events of workspaces, and those not understood
	listens atomic.Uint32
}

// of is the epoch of a key now. Both counters of its events only grow: an equal
// sum means that neither moved.
func (e *epochs) of(hash Hash) epoch {
	return epoch{e.stripe(hash).Load() + e.all.Load(), e.listens.Load()}
}

func (e *epochs) stripe(hash Hash) *atomic.Uint32 {
	return &e.keys[binary.LittleEndian.Uint16(hash[:])%stripes]
}

// retire makes whatever is cached of a key worthless.
func (e *epochs) retire(hash Hash) { e.stripe(hash).Add(1) }

// notify takes the payload of a notification: `key:<hex SHA-256>` is about that key;
// `workspace:<id>`, and whatever else an adopted database may send, is about every key.
func (e *epochs) notify(payload string) {
	var hash Hash
	digits, ok := strings.CutPrefix(payload, "key:")
	if ok && len(digits) == hex.EncodedLen(len(hash)) {
		if _, err := hex.Decode(hash[:], []byte(digits)); err == nil {
			e.retire(hash)
			return
		}
	}
	e.all.Add(1)
}
