package main

import (
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
)

// rejectRebuild returns an error if the command, which is the first argument, is one of Caddy's
// that replace the binary by one from Caddy's build server. That server does not have the edge, and
// Caddy panics before it asks: a binary whose main module registers Caddy modules is unknown to it.
func rejectRebuild(args []string) error {
	if len(args) == 0 || !slices.Contains([]string{"add-package", "remove-package", "upgrade"}, args[0]) {
		return nil
	}
	version, _ := caddy.Version()
	return fmt.Errorf("caddy %s would replace the edge by a Caddy without it; in the edge's source tree, run this, "+
		"with another --with for each package: "+
		"xcaddy build %s --replace hoko.to/edge=. --with hoko.to/edge/caddymodule",
		args[0], version)
}
