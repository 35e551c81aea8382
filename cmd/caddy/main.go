// Command caddy is the edge: Caddy with its standard modules and Hoko's, the
// same binary that xcaddy builds from xcaddy.Dockerfile.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "hoko.to/edge/caddymodule"
)

func main() {
	caddycmd.Main()
}
