// Package admin implements the administration commands of `caddy hoko` in Postgres: it creates,
// lists and revokes API keys, checks that changes to keys notify the edges, deletes old idempotency
// keys, erases personal data from stored answers, and seeds demo data.
package admin
