package caddymodule

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// UnmarshalCaddyfile sets the handler up from its directive. Syntax:
//
//	track_sale [<matcher>] {
//		body_timeout <duration>
//	}
func (t *TrackSale) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if err := noMoreArgs(d); err != nil {
		return err
	}
	return block(d, func(name string) error {
		if name != "body_timeout" {
			return unknown(d, "track_sale", "body_timeout")
		}
		return durationArg(d, bodyTimeoutBounds, &t.BodyTimeout)
	})
}

// Interface guard
var _ caddyfile.Unmarshaler = (*TrackSale)(nil)
