// Package cli provides the `caddy hoko` commands.
package cli

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/signal"
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
}

// onDatabase adds the flag that names the database of a command. The command takes no arguments,
// unless it says otherwise, and a Ctrl-C ends its context.
func onDatabase(cmd *cobra.Command, run func(ctx context.Context, cmd *cobra.Command, dsn string) error) *cobra.Command {
	const databaseFlag = "database-url"
	cmd.Flags().String(databaseFlag, "", "connection string of the database (default: DATABASE_URL)")
	if cmd.Args == nil {
		cmd.Args = cobra.NoArgs
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dsn := cmp.Or(text(cmd, databaseFlag), os.Getenv("DATABASE_URL"))
		if dsn == "" {
			return errors.New("no database: set DATABASE_URL, e.g. postgres://user:password@host:5432/database, " +
				"or give --" + databaseFlag)
		}
		ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer cancel()
		return postgres.OwnerError(run(ctx, cmd, dsn))
	}
	return cmd
}

// text returns the value of a flag.
func text(cmd *cobra.Command, flag string) string {
	value, _ := cmd.Flags().GetString(flag)
	return value
}
