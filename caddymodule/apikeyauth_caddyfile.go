package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"hoko.to/edge/plugin/apikey"
)

// UnmarshalCaddyfile sets the handler up from its directive. Syntax:
//
//	api_key_auth [<matcher>] {
//		scopes <scope...>
//	}
//
// Without scopes any valid key passes.
func (a *APIKeyAuth) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if err := noMoreArgs(d); err != nil {
		return err
	}
	return block(d, func(name string) error {
		if name != "scopes" {
			return unknown(d, "api_key_auth", "scopes")
		}
		if a.Scopes = d.RemainingArgs(); len(a.Scopes) == 0 {
			return d.ArgErr()
		}
		_, err := apikey.ParseRequired(a.Scopes)
		return at(d, err)
	})
}

// Interface guard
var _ caddyfile.Unmarshaler = (*APIKeyAuth)(nil)
