package doctor

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/postgres"
)

// Config is a configuration to check.
type Config struct {
	command.Config
	File string
	Err  error // why it does not load, or which settings of the hoko block are missing
}

const aboutConfig = "configuration"

// configuration reports whether the configuration loads, and returns the apps that it contains. It
// does not provision them, as `caddy validate` does, because that writes files.
func (c *checks) configuration() (http *caddyhttp.App, tls *caddytls.TLS) {
	http, tls = new(caddyhttp.App), new(caddytls.TLS)
	before := c.Failures
	for _, err := range separate(c.Config.Err) {
		c.failConfig(err, "set the variable in this command's environment as in the edge's, or correct the file")
	}
	for name, app := range map[string]any{"http": http, "tls": tls} {
		if text := c.Config.Apps[name]; text != nil {
			if err := json.Unmarshal(text, app); err != nil {
				c.failConfig(fmt.Errorf("app %s: %w", name, err), "correct the file; see caddy validate")
			}
		}
	}
	// DSN is not empty only because WithDefaults needs one.
	if _, err := (postgres.Options{DSN: "-", MaxConns: c.MaxConns, Writers: c.Writers}).WithDefaults(); err != nil {
		c.failConfig(fmt.Errorf("the hoko block: postgres: %w", err), "raise max_conns or lower sales { writers }")
	}
	if c.Failures == before {
		c.ok(aboutConfig, "%s can be read, and its variables are set; caddy validate also loads its modules",
			c.Config.File)
	}
	return http, tls
}

// separate returns the errors that err joins.
func separate(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}

// failConfig reports an error, whose text may quote the file or a variable, without passwords.
func (c *checks) failConfig(err error, fix string) {
	text := password.ReplaceAllStringFunc(err.Error(), func(found string) string {
		if found == "://user:password@" { // of an example
			return found
		}
		return "REDACTED"
	})
	c.fail(aboutConfig, fmt.Errorf("%s: %s", c.Config.File, text), fix)
}

// password matches what may contain a password, in a URL or in key=value pairs.
var password = regexp.MustCompile(`(?i)://[^/\s]*:\S*@|password\s*=\s*('[^']*'|\S+)`)

// sortedServers returns the names of the servers in order.
func sortedServers(http *caddyhttp.App) (names []string) {
	for name, server := range http.Servers {
		if server != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
