// Package admin implements what administrators do in Postgres: it creates, lists and revokes keys,
// proves that changes to keys are announced, cleans up idempotency keys and seeds demo data.
package admin
