package caddymodule

import (
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// block reads a directive's block, one subdirective a line, each at most once.
// parse is given the subdirective's name, with its arguments next.
func block(d *caddyfile.Dispenser, parse func(name string) error) error {
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		if seen[name] {
			return d.Errf("%s is given twice", name)
		}
		seen[name] = true
		if err := parse(name); err != nil {
			return err
		}
	}
	return nil
}

// unknown refuses a subdirective.
func unknown(d *caddyfile.Dispenser, of, known string) error {
	return d.Errf("unrecognized %s subdirective %q: it takes %s", of, d.Val(), known)
}

// stringArg reads the line's only argument.
func stringArg(d *caddyfile.Dispenser, to *string) error {
	if !d.NextArg() || d.Val() == "" {
		return d.ArgErr()
	}
	*to = d.Val()
	return noMoreArgs(d)
}

// intArg reads the line's only argument, a whole number.
func intArg(d *caddyfile.Dispenser, b bounds[int], to *int) error {
	name := d.Val()
	var text string
	if err := stringArg(d, &text); err != nil {
		return err
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		return d.Errf("%s must be a whole number, not %q", name, text)
	}
	*to = value
	return at(d, b.check(name, value))
}

// durationArg reads the line's only argument, a duration such as 10s.
func durationArg(d *caddyfile.Dispenser, b bounds[time.Duration], to *caddy.Duration) error {
	name := d.Val()
	var text string
	if err := stringArg(d, &text); err != nil {
		return err
	}
	value, err := caddy.ParseDuration(text)
	if err != nil {
		return d.Errf("%s must be a duration such as 10s or 5m, not %q", name, text)
	}
	*to = caddy.Duration(value)
	return at(d, b.check(name, value))
}

// at adds file and line to an error, if it is one.
func at(d *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return d.WrapErr(err)
}

func noMoreArgs(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}
