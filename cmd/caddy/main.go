// Command caddy is Hoko Edge: Caddy with its standard modules and those of caddymodule.
// xcaddy builds the same modules without this package, and so without tuneGC.
package main

import (
	"fmt"
	"os"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "hoko.to/edge/caddymodule"
)

func main() {
	if err := rejectRebuild(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	if os.Getenv("GOGC") == "" {
		go func() {
			for range time.Tick(time.Second) {
				tuneGC()
			}
		}()
	}
	caddycmd.Main()
}
