package keys

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
)

// The values of flags and columns that clear a setting.
const (
	noLimit     = "none"
	neverExpire = "never"
	anyHostname = "any"
)

// addSettingFlags adds the flags for what a key may do.
func addSettingFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSlice("scopes", nil, "scopes of the key, e.g. conversionsWrite,linksRead")
	flags.StringSlice("hostnames", []string{anyHostname},
		"hosts whose pages may use the key in browsers, e.g. example.com,*.example.com; at most 1000")
	command.AddLimitFlags(cmd, "rate limit of the key, e.g. 600/1m; none: its workspace's, or else the route's")
	flags.String("expires", neverExpire, "expiry: a time such as 2030-01-31T00:00:00Z or a duration such as 90d")
	command.CompleteFlag(cmd, "scopes", completeScopes)
	command.CompleteFlag(cmd, "hostnames", fixed(anyHostname))
	command.CompleteFlag(cmd, "limit", fixed(noLimit))
	command.CompleteFlag(cmd, "expires", fixed(neverExpire))
}

// parseExpiry parses a time, or a duration from now. It returns the zero time for never. The error
// begins with the name of the setting.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	if text == neverExpire {
		return time.Time{}, nil
	}
	if lifetime, err := caddy.ParseDuration(text); err == nil {
		return now.Add(lifetime), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("expires must be a time such as 2030-01-31T00:00:00Z, "+
			"a duration such as 90d, or never, not %q", text)
	}
	return at, nil
}

// hostnamesOf returns the value of --hostnames: nil for any. An empty one is an error, because
// without host names a key has more rights.
func hostnamesOf(cmd *cobra.Command) ([]string, error) {
	hostnames, _ := cmd.Flags().GetStringSlice("hostnames")
	if len(hostnames) == 0 {
		return nil, errors.New("--hostnames is empty: any allows all hosts")
	}
	return parseHostnames(hostnames)
}

// parseHostnames returns nil for any.
func parseHostnames(hostnames []string) ([]string, error) {
	switch {
	case slices.Equal(hostnames, []string{anyHostname}):
		return nil, nil
	case slices.Contains(hostnames, anyHostname):
		return nil, errors.New("hostnames must be either any, or names of hosts")
	}
	return hostnames, nil
}
