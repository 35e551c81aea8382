// Package admin implements the administration commands of `caddy hoko` in Postgres. It creates,
// lists, changes, rotates, revokes and imports API keys, creates and changes workspaces, and
// records each of these changes in hoko.audit. It checks that changes to keys notify the edges,
// deletes old idempotency keys, erases personal data from stored answers, and seeds demo data.
package admin
