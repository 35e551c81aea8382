package backend

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// ExpandPlaceholders replaces {env.*} and {file.*}. It returns an error that names a placeholder
// that is empty or unknown. The error suggests the example.
func ExpandPlaceholders(value, example string) (string, error) {
	return caddy.NewReplacer().ReplaceFunc(value, func(name string, val any) (any, error) {
		variable, isEnv := strings.CutPrefix(name, "env.")
		switch {
		case !isEnv && !strings.HasPrefix(name, "file."):
			return nil, fmt.Errorf("{%s} is not supported here: use {env.*} or {file.*}", name)
		case caddy.ToString(val) != "":
			return val, nil
		case isEnv:
			return nil, fmt.Errorf("{%s} is empty: set %s, e.g. %s", name, variable, example)
		default:
			return nil, fmt.Errorf("{%s} is empty or cannot be read", name)
		}
	})
}
