// Package postgres is everything of the edge that knows SQL: the schema and its
// migrations, the key store, the listener for revoked keys, and the sale store.
//
// It names its relations in full (hoko.api_keys), so that no search_path
// matters. Constructors do not connect; connections are made when they are
// first needed.
package postgres
