// Command caddy is the edge: Caddy with its standard modules and Hoko's, the
// same binary that xcaddy builds from xcaddy.Dockerfile.
package main

import (
	"os"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "hoko.to/edge/caddymodule"
)

func main() {
	if os.Getenv("GOGC") == "" {
		go func() {
			for range time.Tick(time.Second) {
				tuneGC()
			}
		}()
	}
	caddycmd.Main()
}
