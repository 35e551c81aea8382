// Package ledger sells through three edges while these, Postgres, Redis and the network fail, and
// compares the journals of the clients with the tables. docs/failure.md says how to run it longer.
package ledger
