// Package ledger sends sales through three edges while edges, Postgres, Redis and the network fail,
// and compares the clients' journals with the tables. docs/failure.md says how to run it longer.
package ledger
