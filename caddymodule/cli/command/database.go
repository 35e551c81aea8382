package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"hoko.to/edge/plugin/postgres"
)

// DatabaseFunc runs a command on the database with this connection string.
type DatabaseFunc func(ctx context.Context, cmd *cobra.Command, dsn string) error

// WithDatabase makes cmd call run with the connection string that [DSN] returns, and fail if it is
// empty. SIGINT and SIGTERM cancel ctx. Unless cmd.Args is set, cmd takes no arguments.
func WithDatabase(cmd *cobra.Command, run DatabaseFunc) *cobra.Command {
	return WithOptionalDatabase(cmd, func(ctx context.Context, cmd *cobra.Command, dsn string) error {
		if dsn == "" {
			return errNoDatabase
		}
		return run(ctx, cmd, dsn)
	})
}

var errNoDatabase = errors.New("no database: set DATABASE_URL, e.g. postgres://user:password@host:5432/database, " +
	"or give --database-url, --database-url-file or --config")

// WithOptionalDatabase is like [WithDatabase], but also calls run if there is no database.
func WithOptionalDatabase(cmd *cobra.Command, run DatabaseFunc) *cobra.Command {
	flags := cmd.Flags()
	flags.String("database-url", "", "connection string of the database (default: DATABASE_URL)")
	flags.String("database-url-file", "", "file that contains the connection string, which then is not in ps")
	AddConfigFlags(cmd, "configuration file whose database to use")
	cmd.MarkFlagsMutuallyExclusive("database-url", "database-url-file", "config")
	if cmd.Args == nil {
		cmd.Args = cobra.NoArgs
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer cancel()
		cmd.SetContext(ctx) // for what waits for input
		dsn, err := DSN(cmd)
		if err != nil {
			return err
		}
		return postgres.OwnerError(run(ctx, cmd, dsn))
	}
	return cmd
}

// DSN returns the connection string that the flags of [WithDatabase] or DATABASE_URL name, or an
// empty string if there is none.
func DSN(cmd *cobra.Command) (string, error) {
	if dsn := Flag(cmd, "database-url"); dsn != "" {
		return dsn, nil
	}
	if file := Flag(cmd, "database-url-file"); file != "" {
		return readDSN(file)
	}
	if Flag(cmd, "config") == "" {
		return os.Getenv("DATABASE_URL"), nil
	}
	config, err := LoadConfig(cmd)
	if err != nil {
		return "", err
	}
	hoko, err := config.Hoko()
	return hoko.DSN, err
}

func readDSN(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--database-url-file: %w", err)
	}
	dsn := strings.TrimSpace(string(text))
	if dsn == "" {
		return "", fmt.Errorf("--database-url-file: %s is empty", file)
	}
	return dsn, nil
}

// Flag returns the value of a flag that is a string. It returns "" if cmd has no such flag.
func Flag(cmd *cobra.Command, name string) string {
	value, err := cmd.Flags().GetString(name)
	if err != nil {
		return ""
	}
	return value
}
