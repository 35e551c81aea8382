package cli

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"hoko.to/edge/plugin/postgres"
)

func migrateCommand() *cobra.Command {
	cmd := onDatabase(&cobra.Command{
		Use:   "migrate [--status] [--database-url <dsn>]",
		Short: "Creates the schema hoko, or brings it up to this version",
		Long: `Creates the schema hoko in the database, or brings it up to the version of this
binary. Migrations only add, so edges of the previous version keep running; run it
before you upgrade them. Several may run at the same time: the others wait. If
another session holds a lock on a table, it tries again and again rather than have
sales wait behind it.

It needs the rights of the schema's owner, and its own session: if the edges
reach Postgres through a PgBouncer in transaction mode, give it the address of
Postgres itself.`,
	}, migrate)
	cmd.Flags().Bool("status", false, "only say which version the schema has, and which it would get")
	return cmd
}

func migrate(ctx context.Context, cmd *cobra.Command, dsn string) error {
	if onlyStatus, _ := cmd.Flags().GetBool("status"); !onlyStatus {
		log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
		if err := postgres.Migrate(ctx, dsn, log); err != nil {
			return err
		}
	}
	current, latest, err := postgres.MigrationStatus(ctx, dsn)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	switch {
	case current == 0:
		fmt.Fprintf(out, "there is no schema hoko yet; caddy hoko migrate creates version %d\n", latest)
	case current < latest:
		fmt.Fprintf(out, "schema hoko has version %d; caddy hoko migrate brings it to %d\n", current, latest)
	case current == latest:
		fmt.Fprintf(out, "schema hoko has version %d, as this edge needs\n", current)
	default:
		fmt.Fprintf(out, "schema hoko has version %d, newer than this edge's %d: it runs, but upgrade it\n", current, latest)
	}
	return nil
}
