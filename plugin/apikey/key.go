package apikey

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"hoko.to/edge/plugin/limit"
)

// Key is what is known of an API key. Keys are immutable and shared between
// requests. They hold the key's hash, never the key.
type Key struct {
	ID          string
	Hash        Hash
	WorkspaceID string
	// AllowedHostnames as `example.com` or `*.example.com`; empty allows any.
	// Case, ports and trailing dots do not matter in what a Store returns: the
	// Authenticator hands out their canonical spelling, sorted.
	AllowedHostnames []string
	// Limit is the override that counts for this key: its own row's, else its
	// workspace's; the zero Limit where there is none.
	Limit limit.Limit
	// ExpiresAt is zero for a key that does not expire.
	ExpiresAt time.Time
	Scopes    Scopes
	Revoked   bool
	// WorkspaceDisabled: all keys of the workspace are rejected.
	WorkspaceDisabled bool
}

// Hash is the SHA-256 of a whole key: all that is ever stored, cached or compared of it.
type Hash [sha256.Size]byte

// HashOf returns the hash under which a key is stored.
func HashOf(key string) Hash {
	// A slice of what is on the stack: converting the string would allocate.
	var buffer [maxTokenLength]byte
	return sha256.Sum256(append(buffer[:0], key...))
}

// String returns the hash in lower-case hex, as in the hoko_keys notification.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

type contextKey struct{}

// ErrUnverified is the cause of a 500: a handler found no verified key.
var ErrUnverified = errors.New("no verified key: api_key_auth must come before this handler, with the same matcher")

// NewContext hands the verified key to the stages behind.
func NewContext(ctx context.Context, key *Key) context.Context {
	return context.WithValue(ctx, contextKey{}, key)
}

// FromContext returns the verified key of this request.
func FromContext(ctx context.Context) (*Key, bool) {
	key, ok := ctx.Value(contextKey{}).(*Key)
	return key, ok
}
