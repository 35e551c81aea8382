package apikey

import (
	"context"
	"errors"
)

// ErrNotFound: the store answered, and knows no such key.
var ErrNotFound = errors.New("no such key")

// Store looks keys up.
type Store interface {
	// Keys returns those of these hashes that there are, whatever their state.
	// An error means that it could not answer. It returns soon after ctx has
	// ended. No hash is named twice, and the caller does not change the keys.
	// Of no hashes it says whether it can answer at all.
	Keys(ctx context.Context, hashes []Hash) (map[Hash]*Key, error)
}
