package backend

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/postgres/keys"
)

// findTimeout bounds how long FindKey waits for Postgres.
const findTimeout = 3 * time.Second

// ErrNoKey is the error of FindKey if no key matches, and ErrAmbiguous, wrapped, if several do.
var (
	ErrNoKey     = errors.New("no such key")
	ErrAmbiguous = errors.New("several keys begin with this: name one by its id")
)

// FindKey returns the key that which names: its ID, its first characters as in key_start, or its hash in
// hex. If Postgres does not answer, it finds cached keys by ID or hash, without the texts of
// [keys.Found]. Errors do not contain which, because it may be a key.
func (b *Backend) FindKey(ctx context.Context, which string) (keys.Found, error) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	found, err := b.keyStore.Find(ctx, which)
	if err != nil {
		var hash apikey.Hash
		if bytes, err := hex.DecodeString(which); err == nil && len(bytes) == len(hash) {
			copy(hash[:], bytes)
		}
		if cached, ok := b.Keys.Cached(which, hash); ok {
			return keys.Found{Key: *cached.Key}, nil
		}
		return keys.Found{}, fmt.Errorf("this edge has not cached a key with this id or SHA-256, and %w", err)
	}
	switch len(found) {
	case 0:
		return keys.Found{}, ErrNoKey
	case 1:
		return found[0], nil
	}
	var ids []string
	for _, f := range found[:min(len(found), keys.MaxFound-1)] {
		ids = append(ids, admin.Printable(f.ID))
	}
	if len(found) == keys.MaxFound {
		ids = append(ids, "…")
	}
	return keys.Found{}, fmt.Errorf("%w: %s", ErrAmbiguous, strings.Join(ids, ", "))
}
