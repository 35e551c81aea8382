package caddymodule

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// setting is a subdirective in a Caddyfile and the member of the JSON config that it becomes.
type setting struct {
	name string
	// parse reads the subdirective's arguments, which follow.
	parse func(*caddyfile.Dispenser) error
	// repeats is whether the subdirective may be given several times.
	repeats bool
	// check, if not nil, validates a value from a JSON config, where zero means "not set".
	check func() error
}

// parseDirective reads a directive that takes a block of settings and no arguments.
func parseDirective(d *caddyfile.Dispenser, settings ...setting) error {
	d.Next() // the directive's name
	return parseSection(d, settings...)
}

// parseSection is parseDirective for a subdirective.
func parseSection(d *caddyfile.Dispenser, settings ...setting) error {
	name := d.Val()
	if d.NextArg() {
		return d.ArgErr()
	}
	return parseBlock(d, name, settings...)
}

// parseBlock reads a block, one setting per line, each at most once unless it repeats.
func parseBlock(d *caddyfile.Dispenser, directive string, settings ...setting) error {
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
		if seen[name] && !settings[i].repeats {
			return d.Errf("%s is given twice", name)
		}
		seen[name] = i >= 0
		if i < 0 {
			var known []string
			for _, s := range settings {
				known = append(known, s.name)
			}
			return d.Errf("unrecognized %s subdirective %q: want %s", directive, name, strings.Join(known, ", "))
		}
		if err := settings[i].parse(d); err != nil {
			return err
		}
	}
	return nil
}

// textSetting takes one argument and validates it with accept.
func textSetting(name string, to *string, accept func(string) error) setting {
	return setting{name: name, parse: func(d *caddyfile.Dispenser) error {
		if !d.NextArg() || d.Val() == "" {
			return d.ArgErr()
		}
		*to = d.Val()
		if d.NextArg() {
			return d.ArgErr()
		}
		return wrapErr(d, accept(*to))
	}}
}

func anyText(string) error { return nil }

// intSetting takes a whole number from lo to hi.
func intSetting(name string, to *int, lo, hi int) setting {
	return boundedSetting(name, to, lo, hi, "a whole number", strconv.Atoi)
}

// durationSetting takes a duration from lo to hi.
func durationSetting(name string, to *caddy.Duration, lo, hi time.Duration) setting {
	return boundedSetting(name, (*time.Duration)(to), lo, hi, "a duration such as 10s or 5m", caddy.ParseDuration)
}

func boundedSetting[T int | time.Duration](
	name string, to *T, lo, hi T, kind string, parse func(string) (T, error),
) setting {
	check := func() error {
		if *to < lo || *to > hi {
			return fmt.Errorf("%s must be %v … %v, not %v", name, lo, hi, *to)
		}
		return nil
	}
	var text string
	s := textSetting(name, &text, func(string) (err error) {
		if *to, err = parse(text); err != nil {
			return fmt.Errorf("%s must be %s, not %q", name, kind, text)
		}
		return check()
	})
	s.check = func() error {
		if *to == 0 {
			return nil
		}
		return check()
	}
	return s
}

// checkAll returns the errors of all settings of a section.
func checkAll(section string, settings []setting) error {
	var all []error
	for _, s := range settings {
		if s.check == nil {
			continue
		}
		if err := s.check(); err != nil {
			all = append(all, fmt.Errorf("%s: %w", section, err))
		}
	}
	return errors.Join(all...)
}

// parseRequireEnv returns an error if an environment variable that the Caddyfile needs is unset or
// empty. Otherwise, an unset {$NAME} could leave a valid Caddyfile, such as one whose reverse_proxy
// has no upstream, which `caddy reload` would apply.
func parseRequireEnv(d *caddyfile.Dispenser) error {
	variables := d.RemainingArgs()
	if len(variables) == 0 {
		return d.ArgErr()
	}
	missing := slices.DeleteFunc(variables, func(name string) bool { return strings.TrimSpace(os.Getenv(name)) != "" })
	if len(missing) == 0 {
		return nil
	}
	return d.Errf("the environment of this command lacks %s, which this file reads: "+
		"caddy reload needs the same variables as caddy run", strings.Join(missing, ", "))
}

// wrapErr adds the file and line to err, unless it is nil.
func wrapErr(d *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return d.WrapErr(err)
}
