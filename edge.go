// Package edge holds the configuration that the edge ships with.
package edge

import _ "embed"

// Caddyfile is the file of that name beside this one.
//
//go:embed Caddyfile
var Caddyfile string
