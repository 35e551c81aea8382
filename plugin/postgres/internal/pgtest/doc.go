// Package pgtest holds what the tests of plugin/postgres and its subpackages share: a shop to sell
// in, and a connection to Postgres that can be cut.
package pgtest
