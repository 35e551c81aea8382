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

// setting is a subdirective of a Caddyfile and the member of a JSON config that it becomes.
type setting struct {
	name string
	// parse reads the subdirective's arguments, which come next.
	parse func(*caddyfile.Dispenser) error
	// check validates a value from a JSON config, whose zero is "not set". It may be nil.
	check func() error
}

// parseDirective reads a directive that has a block of settings and no arguments.
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

// parseBlock reads a block, one setting per line, each at most once.
func parseBlock(d *caddyfile.Dispenser, of string, settings ...setting) error {
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		if seen[name] {
			return d.Errf("%s is given twice", name)
		}
		seen[name] = true
		i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
		if i < 0 {
			return d.Errf("unrecognized %s subdirective %q: it takes %s", of, name, names(settings))
		}
		if err := settings[i].parse(d); err != nil {
			return err
		}
	}
	return nil
}

// names lists settings as a sentence does.
func names(settings []setting) string {
	var all []string
	for _, s := range settings {
		all = append(all, s.name)
	}
	text := strings.Join(all, ", ")
	if last := strings.LastIndex(text, ", "); last >= 0 {
		text = text[:last] + " and " + text[last+2:]
	}
	return text
}

// textSetting stores the line's only argument, if accept allows it.
func textSetting(name string, to *string, accept func(string) error) setting {
	return setting{name: name, parse: func(d *caddyfile.Dispenser) error {
		if !d.NextArg() || d.Val() == "" {
			return d.ArgErr()
		}
		*to = d.Val()
		if d.NextArg() {
			return d.ArgErr()
		}
		return at(d, accept(*to))
	}}
}

// anyText is accepted by textSetting.
func anyText(string) error { return nil }

// intSetting is a whole number from least to most.
func intSetting(name string, to *int, least, most int) setting {
	return boundedSetting(name, to, least, most, "a whole number", strconv.Atoi)
}

// durationSetting is a duration from least to most.
func durationSetting(name string, to *caddy.Duration, least, most time.Duration) setting {
	return boundedSetting(name, (*time.Duration)(to), least, most, "a duration such as 10s or 5m", caddy.ParseDuration)
}

func boundedSetting[T int | time.Duration](
	name string, to *T, least, most T, kind string, parse func(string) (T, error),
) setting {
	check := func() error {
		if *to < least || *to > most {
			return fmt.Errorf("%s must be %v … %v, not %v", name, least, most, *to)
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

// checkAll validates the settings of a section.
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

// requireEnv reads the names of the environment variables that the Caddyfile must not be adapted
// without. A {$VARIABLE} that is unset or empty often leaves a valid Caddyfile, such as one whose
// reverse_proxy has no upstream, and `caddy reload` would put that in force.
func requireEnv(d *caddyfile.Dispenser) error {
	variables := d.RemainingArgs()
	if len(variables) == 0 {
		return d.ArgErr()
	}
	missing := slices.DeleteFunc(variables, func(name string) bool { return strings.TrimSpace(os.Getenv(name)) != "" })
	if len(missing) == 0 {
		return nil
	}
	return d.Errf("the environment of this command lacks %s, which this file reads: "+
		"set it; caddy reload needs the variables that caddy run was started with", strings.Join(missing, ", "))
}

// at adds file and line to an error, if it is one.
func at(d *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return d.WrapErr(err)
}
