package caddymodule

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// expand replaces {env.*} and {file.*}, and returns an error that names the one that is empty.
func expand(value, example string) (string, error) {
	return caddy.NewReplacer().ReplaceFunc(value, func(name string, val any) (any, error) {
		variable, isEnv := strings.CutPrefix(name, "env.")
		switch {
		case !isEnv && !strings.HasPrefix(name, "file."):
			return nil, fmt.Errorf("{%s} is not known here: use {env.*} or {file.*}", name)
		case caddy.ToString(val) != "":
			return val, nil
		case isEnv:
			return nil, fmt.Errorf("{%s} is empty: set %s, e.g. %s", name, variable, example)
		default:
			return nil, fmt.Errorf("{%s} is empty or cannot be read", name)
		}
	})
}

// literalPassword matches an address with a password in clear text, which everyone who may read the
// config can see.
var literalPassword = regexp.MustCompile(`(?i)\bpassword\s*=\s*[^\s{]|://[^:@/]*:[^{@/][^@/]*@`)
