// Package keys looks up API keys in Postgres ([Store]) and listens for changes to them
// ([Listener]). docs/keys.md describes caching and revocation.
package keys
