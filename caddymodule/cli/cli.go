// Package cli provides the `caddy hoko` commands.
package cli

import (
	"cmp"
	"fmt"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/keys"
	"hoko.to/edge/caddymodule/cli/workspaces"
)

// Register adds the command `caddy hoko` to Caddy.
func Register() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "hoko",
		Short: "Administers Hoko Edge",
		Long: "Administers the schema, workspaces and keys of Hoko Edge, asks a running edge, checks an\n" +
			"installation, and runs one locally. docs/commands.md describes all commands.",
		CobraFunc: addCommands,
	})
}

func addCommands(cmd *cobra.Command) {
	cmd.Example = keys.RevokeExample
	cmd.AddCommand(migrateCommand(), keys.Command(), workspaces.Command(), explainCommand(), limitsCommand(),
		idempotencyCommand(), doctorCommand(), healthCommand(), versionCommand(), devCommand())
	// If the command is mistyped, its flags are unknown as well, but the command is the mistake.
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return cmp.Or(unknownCommand(cmd, cmd.Flags().Args()), err)
	})
	rejectUnknown(cmd)
}

// rejectUnknown makes cmd and its subcommands fail on an unknown subcommand. Cobra does so only for
// the root command: others print their help and succeed, as they still do without arguments.
func rejectUnknown(cmd *cobra.Command) {
	if !cmd.HasSubCommands() {
		return
	}
	cmd.DisableFlagsInUseLine = true
	cmd.Args = unknownCommand
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	for _, sub := range cmd.Commands() {
		rejectUnknown(sub)
	}
}

// unknownCommand returns an error that suggests similar subcommands of cmd. It returns nil if cmd
// has no subcommands, or if args is empty.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if !cmd.HasSubCommands() || len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2 // the default of Cobra
	hint := fmt.Sprintf("run %s --help for the commands", cmd.CommandPath())
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = "did you mean " + strings.Join(similar, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q for %q: %s", args[0], cmd.CommandPath(), hint)
}
