// Package postgres contains what the edge's SQL packages share: options, connections, the schema
// and its migrations. Package keys looks up API keys and listens for changes, sales records sales,
// admin implements the administration commands, and inspect queries what `caddy hoko doctor`
// reports.
//
// All SQL qualifies its relations (hoko.api_keys), so search_path does not matter. Constructors do
// not connect; connections are opened when they are first needed.
package postgres
