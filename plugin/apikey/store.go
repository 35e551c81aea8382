package apikey

import (
	"context"
	"errors"
)

// ErrNotFound: the store answered, and knows no such key.
var ErrNotFound = errors.New("no such key")

// Store looks keys up. Any error but ErrNotFound means that it could not answer.
type Store interface {
	// Key returns the key of this hash, whatever its state, or ErrNotFound. It
	// returns soon after ctx has ended. The caller does not change the key.
	Key(ctx context.Context, hash Hash) (*Key, error)
}
