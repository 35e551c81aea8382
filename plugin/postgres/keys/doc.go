// Package keys reads API keys from Postgres ([Store]) and listens for changes to them ([Listener]).
// docs/keys.md describes caching and revocation.
package keys
