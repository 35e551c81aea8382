// Package pgtest contains what the tests of plugin/postgres and its subpackages share: a [Shop]
// whose sales can be recorded, and a [Wire] to Postgres that can lose connections.
package pgtest
