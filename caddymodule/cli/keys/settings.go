package keys

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"hoko.to/edge/plugin/limit"
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
	flags.String("limit", noLimit, "rate limit of the key, e.g. 600/1m; none: its workspace's, or else the route's")
	flags.Int("burst", 0, "requests that a full bucket admits (default: the rate of the limit)")
	flags.String("expires", neverExpire, "expiry: a time such as 2030-01-31T00:00:00Z or a duration such as 90d")
	complete(cmd, "scopes", completeScopes)
	complete(cmd, "hostnames", cobra.FixedCompletions([]string{anyHostname}, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "limit", cobra.FixedCompletions([]string{noLimit}, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "expires", cobra.FixedCompletions([]string{neverExpire}, cobra.ShellCompDirectiveNoFileComp))
}

// parseLimit returns a limit. It is zero for none. The error begins with the setting's name.
func parseLimit(text string, burst int) (l limit.Limit, err error) {
	if text == noLimit {
		if burst != 0 {
			return l, errors.New("burst needs a limit")
		}
		return l, nil
	}
	if l, err = limit.Parse(text); err != nil || burst == 0 {
		return l, err
	}
	l.Burst = burst
	if err := l.Validate(); err != nil {
		return l, fmt.Errorf("burst: %w", err)
	}
	return l, nil
}

// parseExpiry parses a time, or a duration from now. It returns the zero time for never. The error
// begins with the setting's name.
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

// flagError returns the error of a setting as that of its flag.
func flagError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("--%w", err)
}

// parseHostnames returns nil for any.
func parseHostnames(hostnames []string) []string {
	if slices.Equal(hostnames, []string{anyHostname}) {
		return nil
	}
	return hostnames
}
