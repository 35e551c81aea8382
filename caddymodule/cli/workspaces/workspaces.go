// Package workspaces provides the `caddy hoko workspaces` commands.
package workspaces

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/postgres/admin"
)

// Command returns the command `workspaces`.
func Command() *cobra.Command {
	cmd := &cobra.Command{Use: "workspaces", Short: "Lists, creates, changes and disables workspaces"}
	cmd.AddCommand(listCommand(), createCommand(), updateCommand(), disableCommand(), enableCommand())
	return cmd
}

func listCommand() *cobra.Command {
	cmd := command.WithDatabase(&cobra.Command{
		Use:   "list",
		Short: "Lists workspaces, by name",
		Long: `Lists all workspaces with their state, the default limit of their keys, and the
number of keys that are neither revoked nor expired. The edge's role may run it.`,
		Example: "  $ caddy hoko workspaces list\n  $ caddy hoko workspaces list --json",
	}, list)
	command.AddJSONFlag(cmd)
	return cmd
}

func list(ctx context.Context, cmd *cobra.Command, dsn string) error {
	all, err := admin.ListWorkspaces(ctx, dsn)
	if err != nil {
		return err
	}
	if command.AsJSON(cmd) {
		return printDocuments(cmd, all)
	}
	return printTable(cmd, all)
}

func createCommand() *cobra.Command {
	cmd := command.WithDatabase(&cobra.Command{
		Use:   "create <name> [--id <id>] [--limit <rate/period>] [--burst <n>]",
		Short: "Creates a workspace",
		Long: `Creates a workspace, and fails if another one has the name or the id. The limit
applies to each of its keys that does not have one.

It needs the rights of the schema's owner.`,
		Example: "  $ caddy hoko workspaces create Acme\n" +
			"  $ caddy hoko workspaces create Acme --id ws_1 --limit 600/1m --burst 50",
		Args: cobra.ExactArgs(1),
	}, create)
	cmd.Flags().String("id", "", "id of the workspace, which never changes (default: a random UUID)")
	command.AddLimitFlags(cmd, "limit of each of its keys, e.g. 600/1m (default: the route's)")
	command.AddJSONFlag(cmd)
	return cmd
}

func create(ctx context.Context, cmd *cobra.Command, dsn string) error {
	wanted := admin.NewWorkspace{Name: cmd.Flags().Arg(0), ID: command.Flag(cmd, "id")}
	if cmd.Flags().Changed("id") && wanted.ID == "" {
		return errors.New("--id is empty: leave it out for a random one")
	}
	given, burst, err := command.Limit(cmd)
	switch {
	case err != nil:
		return err
	case given != nil:
		wanted.Limit = *given
	case burst != 0:
		return errors.New("--burst needs a --limit")
	}
	w, err := admin.CreateWorkspace(ctx, dsn, wanted)
	if err != nil {
		return err
	}
	return printResult(cmd, w, fmt.Sprintf("created %s; %s", named(w), limitOf(w)))
}

func updateCommand() *cobra.Command {
	cmd := command.WithDatabase(&cobra.Command{
		Use:   "update <id|name> [--name <name>] [--limit <rate/period|none>] [--burst <n>]",
		Short: "Changes the name or the limit of a workspace",
		Long: `Changes what the flags name, and leaves the rest as it is. Edges apply a new limit
within a second. A --limit without --burst sets the burst to its rate; --burst alone
changes the burst of the existing limit.

It needs the rights of the schema's owner.`,
		Example: "  $ caddy hoko workspaces update ws_1 --name 'Acme Ltd'\n" +
			"  $ caddy hoko workspaces update Acme --limit 1000/1m\n" +
			"  $ caddy hoko workspaces update Acme --limit none",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: command.First(command.CompleteWorkspace),
	}, update)
	cmd.Flags().String("name", "", "new name")
	command.AddLimitFlags(cmd, "new limit of each of its keys, e.g. 600/1m; none removes it")
	cmd.MarkFlagsOneRequired("name", "limit", "burst")
	command.AddJSONFlag(cmd)
	return cmd
}

func update(ctx context.Context, cmd *cobra.Command, dsn string) (err error) {
	var wanted admin.WorkspaceChange
	if cmd.Flags().Changed("name") {
		name := command.Flag(cmd, "name")
		wanted.Name = &name
	}
	if wanted.Limit, wanted.Burst, err = command.Limit(cmd); err != nil {
		return err
	}
	w, err := admin.UpdateWorkspace(ctx, dsn, cmd.Flags().Arg(0), wanted)
	if err != nil {
		return err
	}
	return printResult(cmd, w, fmt.Sprintf("changed %s; %s", named(w), limitOf(w)))
}

func disableCommand() *cobra.Command {
	cmd := command.WithDatabase(&cobra.Command{
		Use:   "disable <id|name>",
		Short: "Disables a workspace; edges reject all its keys within a second",
		Long: `Disables a workspace: edges reject all its keys within a second. Its rows and keys
stay, and enable brings them back. A workspace that is disabled already stays so.

It needs the rights of the schema's owner.`,
		Example:           "  $ caddy hoko workspaces disable Acme",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: command.First(command.CompleteWorkspace),
	}, func(ctx context.Context, cmd *cobra.Command, dsn string) error {
		return setDisabled(ctx, cmd, dsn, true)
	})
	command.AddJSONFlag(cmd)
	return cmd
}

func enableCommand() *cobra.Command {
	cmd := command.WithDatabase(&cobra.Command{
		Use:   "enable <id|name>",
		Short: "Enables a disabled workspace",
		Long: `Enables a workspace: edges accept its keys again within a second, except those that
are revoked or expired. A workspace that is not disabled stays so.

It needs the rights of the schema's owner.`,
		Example:           "  $ caddy hoko workspaces enable Acme",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: command.First(command.CompleteWorkspace),
	}, func(ctx context.Context, cmd *cobra.Command, dsn string) error {
		return setDisabled(ctx, cmd, dsn, false)
	})
	command.AddJSONFlag(cmd)
	return cmd
}

func setDisabled(ctx context.Context, cmd *cobra.Command, dsn string, disabled bool) error {
	w, changed, err := admin.SetWorkspaceDisabled(ctx, dsn, cmd.Flags().Arg(0), disabled)
	if err != nil {
		return err
	}
	sentence := fmt.Sprintf("%s is %s already; nothing changed", named(w), stateText(w))
	switch {
	case changed && disabled:
		sentence = fmt.Sprintf("disabled %s; edges reject its %d valid keys within a second", named(w), w.ValidKeys)
	case changed:
		sentence = fmt.Sprintf("enabled %s; edges accept its %d valid keys within a second", named(w), w.ValidKeys)
	}
	return printResult(cmd, w, sentence)
}
