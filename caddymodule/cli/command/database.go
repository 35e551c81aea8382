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
	withDatabaseFlags(cmd, DSN, func(ctx context.Context, cmd *cobra.Command, dsn string) error {
		if dsn == "" {
			return errNoDatabase
		}
		return run(ctx, cmd, dsn)
	})
	cmd.MarkFlagsMutuallyExclusive("database-url", "database-url-file", "config")
	return cmd
}

var errNoDatabase = errors.New("no database: set DATABASE_URL, e.g. postgres://user:password@host:5432/database, " +
	"or give --database-url, --database-url-file or --config")

// WithOptionalDatabase is like [WithDatabase], but run gets only what [FlagDSN] returns, which may
// be an empty string. The flags may be given together with --config.
func WithOptionalDatabase(cmd *cobra.Command, run DatabaseFunc) *cobra.Command {
	withDatabaseFlags(cmd, FlagDSN, run)
	cmd.MarkFlagsMutuallyExclusive("database-url", "database-url-file")
	return cmd
}

func withDatabaseFlags(cmd *cobra.Command, find func(*cobra.Command) (dsn string, err error), run DatabaseFunc) {
	flags := cmd.Flags()
	flags.String("database-url", "", "connection string of the database (default: DATABASE_URL)")
	flags.String("database-url-file", "", "file that contains the connection string, which then is not in ps")
	AddConfigFlags(cmd, "configuration file whose database to use")
	if cmd.Args == nil {
		cmd.Args = cobra.NoArgs
	}
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer cancel()
		cmd.SetContext(ctx) // for what waits for input
		dsn, err := find(cmd)
		if err != nil {
			return err
		}
		return postgres.OwnerError(run(ctx, cmd, dsn))
	}
}

// DSN returns the connection string that the flags of [WithDatabase] or DATABASE_URL name, or an
// empty string if there is none.
func DSN(cmd *cobra.Command) (string, error) {
	if dsn, err := FlagDSN(cmd); dsn != "" || err != nil {
		return dsn, err
	}
	if Flag(cmd, "config") == "" {
		return os.Getenv("DATABASE_URL"), nil
	}
	config, err := LoadConfig(cmd)
	if err != nil {
		return "", err
	}
	hoko, err := config.Hoko()
	if hoko.DSN != "" {
		return hoko.DSN, nil // the command does not need the other settings
	}
	if err == nil {
		err = errors.New("the hoko block has no postgres")
	}
	return "", fmt.Errorf("--config: %w", err)
}

// FlagDSN returns the connection string of --database-url or --database-url-file, or an empty
// string if neither is given. A flag that is given but empty is an error, because DATABASE_URL may
// be another database.
func FlagDSN(cmd *cobra.Command) (string, error) {
	if err := RejectEmpty(cmd, "database-url", "database-url-file", "config"); err != nil {
		return "", err
	}
	if dsn := Flag(cmd, "database-url"); dsn != "" {
		return dsn, nil
	}
	if file := Flag(cmd, "database-url-file"); file != "" {
		return readDSN(file)
	}
	return "", nil
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

// RejectEmpty returns an error if one of these flags is given but empty, as with a variable of the
// shell that is not set.
func RejectEmpty(cmd *cobra.Command, names ...string) error {
	for _, name := range names {
		if cmd.Flags().Changed(name) && Flag(cmd, name) == "" {
			return fmt.Errorf("--%s is empty", name)
		}
	}
	return nil
}

// Flag returns the value of a flag that is a string. It returns "" if cmd has no such flag.
func Flag(cmd *cobra.Command, name string) string {
	value, err := cmd.Flags().GetString(name)
	if err != nil {
		return ""
	}
	return value
}
