package command

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"hoko.to/edge/plugin/limit"
)

// AddLimitFlags adds --limit and --burst.
func AddLimitFlags(cmd *cobra.Command, usage string) {
	cmd.Flags().String("limit", "", usage)
	cmd.Flags().Int("burst", 0, "requests that a full bucket admits (default: the rate of the limit)")
}

// Limit returns the limit that --limit and --burst describe: nil without --limit, and the zero
// Limit for --limit none. It also returns --burst, 0 if it is not given.
func Limit(cmd *cobra.Command) (l *limit.Limit, burst int, err error) {
	burst, _ = cmd.Flags().GetInt("burst")
	if cmd.Flags().Changed("burst") && burst < 1 {
		return nil, 0, fmt.Errorf("--burst must be 1 or more requests, not %d", burst)
	}
	if !cmd.Flags().Changed("limit") {
		return nil, burst, nil
	}
	text := Flag(cmd, "limit")
	if text == "none" {
		if burst != 0 {
			return nil, 0, errors.New("--burst needs a --limit other than none")
		}
		return new(limit.Limit), 0, nil
	}
	parsed, err := limit.Parse(text)
	if err == nil && burst != 0 {
		parsed.Burst = burst
		err = parsed.Validate()
	}
	if err != nil {
		return nil, 0, fmt.Errorf("--limit: %w", err)
	}
	return &parsed, burst, nil
}
