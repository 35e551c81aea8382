// Package apikey authenticates API keys and checks their scopes. An [Authenticator] reads the key
// from the Authorization header and looks up its SHA-256 in a [Store], through a cache.
// [Authenticator.Notify] makes a revocation take effect immediately. docs/keys.md describes the
// behavior, and ARCHITECTURE.md the design.
package apikey
