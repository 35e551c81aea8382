// Package postgres has what all of the edge's SQL shares: options, connections, the schema and its
// migrations. Package keys looks keys up and listens for changes, package sales records sales, and
// package admin does what the commands of an administrator ask for.
//
// All SQL names its relations in full (hoko.api_keys), so that search_path does not matter.
// Constructors do not connect; connections are opened when they are first needed.
package postgres
