package backend

import (
	"context"

	"hoko.to/edge/plugin/apikey"
)

// FindKey returns the hash of the key that Postgres has with this ID or these first characters. Its
// errors are those of [keys.Store.Find].
func (b *Backend) FindKey(ctx context.Context, which string) (apikey.Hash, error) {
	return b.keyStore.Find(ctx, which)
}

// StoredKey returns the key that Postgres has with this hash now, whatever is cached, or
// [apikey.ErrNotFound].
func (b *Backend) StoredKey(ctx context.Context, hash apikey.Hash) (*apikey.Key, error) {
	return b.keyStore.Key(ctx, hash)
}
