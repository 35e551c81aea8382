package main

import (
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
)

// rejectRebuild returns an error if the command, the first argument, replaces the binary with one
// from Caddy's build server, which cannot build the edge. Caddy itself would panic, because it does
// not expect a main module that registers Caddy modules.
func rejectRebuild(args []string) error {
	if len(args) == 0 || !slices.Contains([]string{"add-package", "remove-package", "upgrade"}, args[0]) {
		return nil
	}
	version, _ := caddy.Version()
	return fmt.Errorf("caddy %s would replace Hoko Edge with a plain Caddy; in the edge's source tree, run this, "+
		"with another --with for each plugin: "+
		"xcaddy build %s --replace hoko.to/edge=. --with hoko.to/edge/caddymodule", args[0], version)
}
