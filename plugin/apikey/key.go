package apikey

import (
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
	// Authenticator hands out their canonical spelling.
	AllowedHostnames []string
	// Limit is the override that counts for this key: its own row's, else its
	// workspace's; the zero Limit where there is none.
	Limit limit.Limit
	// ExpiresAt is zero for a key that does not expire.
	ExpiresAt time.Time
	Scopes    Scopes
	Revoked   bool
	// WorkspaceDisabled: all keys of the workspace are refused.
	WorkspaceDisabled bool
}
