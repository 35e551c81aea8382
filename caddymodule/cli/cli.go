// Package cli provides the `caddy hoko` commands.
package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
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

const databaseFlag = "database-url"

// withDatabase adds the flag that says which database a command works on.
func withDatabase(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().String(databaseFlag, "", "connection string of the database (default: DATABASE_URL)")
	return cmd
}

// databaseURL is the connection string from flag or environment.
func databaseURL(cmd *cobra.Command) (string, error) {
	dsn, err := cmd.Flags().GetString(databaseFlag)
	if err != nil {
		return "", err
	}
	if dsn == "" {
		dsn = os.Getenv("DATABASE_URL")
	}
	if dsn == "" {
		return "", errors.New("no database: set DATABASE_URL, e.g. postgres://user:password@host:5432/database, or give --" + databaseFlag)
	}
	return dsn, nil
}

// interruptible is the command's context, which a Ctrl-C ends.
func interruptible(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
}
