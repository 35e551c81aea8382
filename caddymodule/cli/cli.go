// Package cli provides the `caddy hoko` commands.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"hoko.to/edge/plugin/postgres"
)

// Register adds the command `caddy hoko` to Caddy.
func Register() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:      "hoko",
		Short:     "Commands of Hoko Edge",
		Long:      "Commands of Hoko Edge: its database schema, API keys and idempotency keys, and what it needs to run.",
		CobraFunc: addCommands,
	})
}

func addCommands(cmd *cobra.Command) {
	cmd.AddCommand(migrateCommand(), keysCommand(), idempotencyCommand(), doctorCommand(), devCommand())
	// A flag of the mistyped command is unknown too, but is not the mistake.
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return cmp.Or(unknownCommand(cmd, cmd.Flags().Args()), err)
	})
	rejectUnknown(cmd)
}

// rejectUnknown makes cmd, and each command below it that has subcommands, fail if the subcommand
// is unknown. Cobra does so only for the root: other commands print their help and succeed, which
// they still do without any argument.
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

// unknownCommand returns an error that suggests similar commands if args begin with a subcommand
// that cmd, which has some, lacks.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if !cmd.HasSubCommands() || len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2 // as Cobra's own default
	hint := fmt.Sprintf("run %s --help for the commands", cmd.CommandPath())
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = "did you mean " + strings.Join(similar, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q for %q: %s", args[0], cmd.CommandPath(), hint)
}

// onDatabase adds the flag that names the database of a command, without which the command fails. The
// command takes no arguments, unless it says otherwise, and a Ctrl-C ends its context.
func onDatabase(cmd *cobra.Command, run databaseCommand) *cobra.Command {
	return onAnyDatabase(cmd, func(ctx context.Context, cmd *cobra.Command, dsn string) error {
		if dsn == "" {
			return errors.New("no database: set DATABASE_URL, e.g. postgres://user:password@host:5432/database, " +
				"or give --" + databaseFlag)
		}
		return run(ctx, cmd, dsn)
	})
}

const databaseFlag = "database-url"

// databaseCommand is what a command does with a database.
type databaseCommand func(ctx context.Context, cmd *cobra.Command, dsn string) error

// onAnyDatabase is onDatabase for a command that itself says that no database is named: dsn is "".
func onAnyDatabase(cmd *cobra.Command, run databaseCommand) *cobra.Command {
	cmd.Flags().String(databaseFlag, "", "connection string of the database (default: DATABASE_URL)")
	if cmd.Args == nil {
		cmd.Args = cobra.NoArgs
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer cancel()
		return postgres.OwnerError(run(ctx, cmd, cmp.Or(text(cmd, databaseFlag), os.Getenv("DATABASE_URL"))))
	}
	return cmd
}

// text returns the value of a flag.
func text(cmd *cobra.Command, flag string) string {
	value, _ := cmd.Flags().GetString(flag)
	return value
}
