package keys

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/postgres/admin"
)

func updateCommand() *cobra.Command {
	cmd := withKey(&cobra.Command{
		Use:   "update <key> [flags]",
		Short: "Changes what an API key may do, its limit, expiry or name",
		Long: `Changes only what is given: at least one of --scopes, --hostnames, --limit, --burst,
--expires and --name. Edges apply it within a second.

--hostnames any, --limit none, --expires never and --name "" clear a setting. A new
--limit without --burst has a burst of its rate. --scopes replaces all scopes.

` + command.KeyHelp,
		Example: `  $ caddy hoko keys update hoko_Ab12 --limit 1200/1m --burst 2400
  $ caddy hoko keys update hoko_Ab12 --scopes conversionsWrite,linksRead --expires never`,
	}, admin.KeyFilter{}, updateKey)
	cmd.Flags().String("name", "", "display name of the key")
	addSettingFlags(cmd)
	cmd.Flags().Lookup("hostnames").DefValue, cmd.Flags().Lookup("expires").DefValue = "[]", "" // not changed
	cmd.MarkFlagsOneRequired("name", "scopes", "hostnames", "limit", "burst", "expires")
	return cmd
}

func updateKey(ctx context.Context, cmd *cobra.Command, dsn, which string) (key admin.KeyInfo, err error) {
	wanted, err := keyChange(cmd, time.Now())
	if err != nil {
		return key, err
	}
	if key, err = admin.UpdateKey(ctx, dsn, which, wanted); err != nil {
		return key, err
	}
	return key, printKey(cmd, key)
}

// keyChange returns what the flags that are given change.
func keyChange(cmd *cobra.Command, now time.Time) (c admin.KeyChange, err error) {
	given := cmd.Flags().Changed
	if given("name") {
		name := command.Flag(cmd, "name")
		c.Name = &name
	}
	if given("scopes") {
		c.Scopes, _ = cmd.Flags().GetStringSlice("scopes")
	}
	if given("hostnames") {
		hostnames, err := hostnamesOf(cmd)
		if err != nil {
			return c, err
		}
		c.Hostnames = &hostnames
	}
	if c.Limit, c.Burst, err = command.Limit(cmd); err != nil {
		return c, err
	}
	if given("expires") {
		expires, err := parseExpiry(command.Flag(cmd, "expires"), now)
		if err != nil {
			return c, fmt.Errorf("--%w", err)
		}
		c.ExpiresAt = &expires
	}
	return c, nil
}

func rotateCommand() *cobra.Command {
	cmd := withKey(&cobra.Command{
		Use:   "rotate <key> [--grace 24h]",
		Short: "Replaces an API key by a new one; the old one expires after a grace period",
		Long: `Creates a key with the workspace, name, scopes, host names, limit and expiry of another
one, and prints it once, as keys create does. The old key expires after --grace, or when
it would have expired if that is earlier. --grace 0 ends it immediately.

A key that is revoked, expired or rotated already cannot be rotated. If the old key has
leaked, revoke it instead, and create a new one.

` + command.KeyHelp,
		Example: `  $ caddy hoko keys rotate hoko_Ab12 --grace 24h`,
	}, admin.KeyFilter{}, rotateKey)
	cmd.Flags().String("grace", "24h", "how long the old key still works, e.g. 24h or 7d")
	return cmd
}

func rotateKey(ctx context.Context, cmd *cobra.Command, dsn, which string) (admin.KeyInfo, error) {
	text := command.Flag(cmd, "grace")
	grace, err := caddy.ParseDuration(text)
	if err != nil || grace < 0 {
		return admin.KeyInfo{}, fmt.Errorf("--grace must be a duration such as 24h, or 0, not %q", text)
	}
	rotated, err := admin.RotateKey(ctx, dsn, which, grace)
	if err != nil {
		return rotated.Old, err
	}
	if command.AsJSON(cmd) {
		return rotated.Old, command.PrintJSON(cmd, struct {
			createdJSON
			Old keyJSON `json:"old"`
		}{newCreatedJSON(rotated.CreatedKey), newKeyJSON(rotated.Old, time.Now())})
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "key %s (%s) expires at %s\n", admin.Printable(rotated.Old.ID),
		admin.Printable(rotated.Old.Start), command.TimeText(rotated.Old.ExpiresAt))
	return rotated.Old, printCreated(cmd, rotated.CreatedKey)
}
