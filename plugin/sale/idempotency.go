package sale

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// maxIdempotencyKey is the longest Idempotency-Key, in bytes.
const maxIdempotencyKey = 255

// parseIdempotencyKey is the key of the request's Idempotency-Key lines: "" if
// there is none. It is opaque: quotes and commas are part of it.
func parseIdempotencyKey(lines []string) (string, error) {
	if len(lines) == 0 {
		return "", nil
	}
	if len(lines) > 1 {
		return "", invalid("Idempotency-Key", "must be sent once")
	}
	key := lines[0]
	if len(key) < 1 || len(key) > maxIdempotencyKey || !isPrintableASCII(key) {
		return "", invalid("Idempotency-Key", "must be 1 to "+strconv.Itoa(maxIdempotencyKey)+" printable ASCII characters")
	}
	return key, nil
}

func isPrintableASCII(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// fingerprintVersion comes first in what is hashed. Fingerprints are kept with
// their idempotency keys: one that is made in another way needs another
// version, and matches no key that was used before.
const fingerprintVersion = 1

// How an optional value is told apart from every other.
const (
	absent = iota
	null
	value
)

// Fingerprint identifies what is asked for: requests that are the same after
// defaults have the same one, and no others do. White space, the order of
// members and unknown members do not matter. An e-mail address or avatar that
// is absent differs from null; metadata is compared by value, its numbers by
// their text.
func (r *Request) Fingerprint() [sha256.Size]byte {
	b := make([]byte, 0, 512+len(r.Metadata))
	b = append(b, fingerprintVersion)
	b = appendText(b, r.CustomerExternalID)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Amount))
	b = appendText(b, r.Currency)
	b = appendText(b, r.EventName)
	b = appendCanonical(b, r.Metadata)
	b = appendText(b, r.LeadEventName)
	b = appendText(b, r.ClickID)
	b = appendText(b, r.CustomerName)
	b = appendOptional(b, r.CustomerEmail)
	b = appendOptional(b, r.CustomerAvatar)
	return sha256.Sum256(b)
}

// appendText puts the length first, so that no two requests are one sequence of bytes.
func appendText(b []byte, text string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	return append(b, text...)
}

func appendOptional(b []byte, o Optional) []byte {
	switch {
	case !o.Given:
		return append(b, absent)
	case o.Value == nil:
		return append(b, null)
	}
	return appendText(append(b, value), *o.Value)
}

// canonical is RFC 8785 except for numbers, which keep their text: members
// sorted, strings in their shortest form.
var canonical = []jsontext.Options{jsontext.ReorderRawObjects(true)}

func appendCanonical(b []byte, metadata []byte) []byte {
	if metadata == nil {
		return append(b, null)
	}
	// It cannot fail: Decode has read this very object. If it did, the text itself would follow.
	text, _ := jsontext.AppendFormat(nil, metadata, canonical...)
	b = binary.BigEndian.AppendUint32(append(b, value), uint32(len(text)))
	return append(b, text...)
}

// turns lets the requests of one idempotency key through one at a time, in the
// order in which they came. A twin that ran beside the first would only find,
// once both are in the database, that it has to start again.
type turns struct {
	mu      sync.Mutex
	waiting map[turnKey]*turn
}

type turnKey struct{ workspaceID, idempotencyKey string }

// turn is what the requests in flight of one key share. It goes with the last of them.
type turn struct {
	taken chan struct{} // holds one element while a request runs
	users int
}

// take waits for the key's turn. The caller gives it back by done.
func (t *turns) take(ctx context.Context, key turnKey) (done func(), err error) {
	turn := t.join(key)
	select {
	case turn.taken <- struct{}{}:
		return func() { <-turn.taken; t.leave(key, turn) }, nil
	case <-ctx.Done():
		t.leave(key, turn)
		return nil, ctx.Err()
	}
}

func (t *turns) join(key turnKey) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	shared := t.waiting[key]
	if shared == nil {
		if t.waiting == nil {
			t.waiting = map[turnKey]*turn{}
		}
		shared = &turn{taken: make(chan struct{}, 1)}
		t.waiting[key] = shared
	}
	shared.users++
	return shared
}

func (t *turns) leave(key turnKey, shared *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if shared.users--; shared.users == 0 {
		delete(t.waiting, key)
	}
}
