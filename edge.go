// Package edge embeds the shipped configuration of Hoko Edge.
package edge

import _ "embed"

// Caddyfile is the content of the Caddyfile in this directory.
//
//go:embed Caddyfile
var Caddyfile string
