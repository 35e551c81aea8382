package apikey

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"hoko.to/edge/plugin/limit"
)

// Key describes an API key. It is shared between requests and must not be changed. It holds the
// hash of the key, never the key itself.
type Key struct {
	ID          string
	Hash        Hash
	WorkspaceID string
	// AllowedHostnames holds patterns such as `example.com` and `*.example.com`. If it is empty,
	// any host name is allowed. A Store may return patterns in any case, with a port or a trailing
	// dot; an Authenticator returns them canonical and sorted.
	AllowedHostnames []string
	// Limit is the key's own rate limit, or else its workspace's. It is zero if neither has one.
	Limit limit.Limit
	// ExpiresAt is zero if the key does not expire.
	ExpiresAt time.Time
	Scopes    Scopes
	Revoked   bool
	// WorkspaceDisabled is whether all keys of the workspace are rejected.
	WorkspaceDisabled bool
}

// Invalid returns why the key is not valid at this time, whatever the request, or "" if it is.
func (k *Key) Invalid(now time.Time) Cause {
	switch {
	case k.Revoked:
		return CauseRevoked
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return CauseExpired
	case k.WorkspaceDisabled:
		return CauseWorkspaceDisabled
	}
	return ""
}

// Hash is the SHA-256 of a whole key. Only the hash is stored, cached and compared.
type Hash [sha256.Size]byte

// HashOf returns the hash under which a key is stored.
func HashOf(key string) Hash {
	// A buffer on the stack, because converting the string would allocate.
	var buffer [maxTokenLength]byte
	return sha256.Sum256(append(buffer[:0], key...))
}

// String returns the hash in lower-case hex, as in a hoko_keys notification.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

type contextKey struct{}

// ErrUnverified is the error of a handler whose request carries no verified key: a 500.
var ErrUnverified = errors.New("no verified key: api_key_auth must run before this handler, with the same matcher")

// NewContext returns a copy of ctx that carries the verified key.
func NewContext(ctx context.Context, key *Key) context.Context {
	return context.WithValue(ctx, contextKey{}, key)
}

// FromContext returns the verified key that NewContext added, and whether there is one.
func FromContext(ctx context.Context) (*Key, bool) {
	key, ok := ctx.Value(contextKey{}).(*Key)
	return key, ok
}
