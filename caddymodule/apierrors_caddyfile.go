package caddymodule

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// UnmarshalCaddyfile sets the handler up from its directive. Syntax:
//
//	api_errors [<matcher>]
//
// It belongs into handle_errors.
func (*APIErrors) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.CountRemainingArgs() > 0 || d.NextBlock(0) {
		return d.ArgErr()
	}
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*APIErrors)(nil)
