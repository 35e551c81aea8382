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

func listCommand() *cobra.Command {
	cmd := command.WithDatabase(&cobra.Command{
		Use:   "list [--workspace <id|name>] [--unused-for 90d | --revoked]",
		Short: "Lists API keys, newest first, including revoked ones",
		Long: `Lists API keys, the newest first, including revoked and expired ones.

With --unused-for, it lists the keys that are valid, were created before that time, and
were not used since. Edges record the last use since version 4 of the schema, so
earlier uses are unknown.`,
		Example: `  $ caddy hoko keys list --workspace acme
  $ caddy hoko keys list --unused-for 90d`,
	}, listKeys)
	addWorkspaceFlag(cmd, "id or name of a workspace (default: all)")
	cmd.Flags().String("unused-for", "", "only valid keys that were not used for this long, e.g. 90d")
	cmd.Flags().Bool("revoked", false, "only revoked keys")
	cmd.MarkFlagsMutuallyExclusive("unused-for", "revoked")
	command.AddJSONFlag(cmd)
	return cmd
}

func listKeys(ctx context.Context, cmd *cobra.Command, dsn string) error {
	if err := command.RejectEmpty(cmd, "workspace", "unused-for"); err != nil {
		return err
	}
	filter := admin.KeyFilter{Workspace: command.Flag(cmd, "workspace")}
	filter.Revoked, _ = cmd.Flags().GetBool("revoked")
	now := time.Now()
	if text := command.Flag(cmd, "unused-for"); text != "" {
		period, err := caddy.ParseDuration(text)
		if err != nil || period <= 0 {
			return fmt.Errorf("--unused-for must be a duration such as 90d, not %q", text)
		}
		filter.UnusedSince = now.Add(-period)
	}
	keys, err := admin.ListKeys(ctx, dsn, filter)
	if err != nil {
		return err
	}
	if command.AsJSON(cmd) {
		list := struct {
			Keys []keyJSON `json:"keys"`
		}{make([]keyJSON, len(keys))}
		for i, key := range keys {
			list.Keys[i] = newKeyJSON(key, now)
		}
		return command.PrintJSON(cmd, list)
	}
	var rows [][]command.Cell
	for _, key := range keys {
		settings := settingsOf(key, now)
		if rows == nil {
			rows = append(rows, titles(settings))
		}
		rows = append(rows, values(settings))
	}
	if rows == nil {
		rows = append(rows, titles(settingsOf(admin.KeyInfo{}, now)))
	}
	return command.WriteTable(cmd.OutOrStdout(), rows)
}

func showCommand() *cobra.Command {
	return withKey(&cobra.Command{
		Use:   "show <key>",
		Short: "Shows an API key: its state, rights, limit and last use",
		Long:  "Shows what is stored about one API key.\n\n" + command.KeyHelp,
		Example: `  $ caddy hoko keys show hoko_Ab12
  $ caddy hoko keys show -     (then paste the key)`,
	}, admin.KeyFilter{}, showKey)
}

func showKey(ctx context.Context, cmd *cobra.Command, dsn, which string) (admin.KeyInfo, error) {
	key, err := admin.FindKey(ctx, dsn, which)
	if err != nil {
		return key, err
	}
	return key, printKey(cmd, key)
}

// printKey prints a key as --json says.
func printKey(cmd *cobra.Command, key admin.KeyInfo) error {
	now := time.Now()
	if command.AsJSON(cmd) {
		return command.PrintJSON(cmd, newKeyJSON(key, now))
	}
	var rows [][]command.Cell
	for _, s := range settingsOf(key, now) {
		rows = append(rows, []command.Cell{{Text: s.title}, s.value})
	}
	return command.WriteTable(cmd.OutOrStdout(), rows)
}
