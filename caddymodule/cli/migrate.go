package cli

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/postgres"
)

func migrateCommand() *cobra.Command {
	cmd := command.WithDatabase(&cobra.Command{
		Use:   "migrate [--status]",
		Short: "Creates or upgrades the schema hoko",
		Long: `Creates the schema hoko in the database, or upgrades it to the version of this
binary. Migrations only add to the schema, so edges of the previous version keep
running; run it before you upgrade them. If several run at the same time, one
migrates and the others wait. If another session holds a lock on a table, migrate
waits for it 200 ms at a time, because sales queue behind it, and tries again.

It needs the rights of the schema's owner and a direct or session-mode connection:
if the edges use a PgBouncer in transaction mode, pass the address of Postgres itself.`,
		Example: `  $ caddy hoko migrate --database-url "$OWNER_DATABASE_URL"
  $ caddy hoko migrate --status --json`,
	}, migrate)
	cmd.Flags().Bool("status", false, "only print the version of the schema, and that of this binary")
	command.AddJSONFlag(cmd)
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
	if command.AsJSON(cmd) {
		return command.PrintJSON(cmd, struct {
			Version int32 `json:"version"` // 0: there is no schema
			Latest  int32 `json:"latest"`  // of this binary
		}{current, latest})
	}
	out := cmd.OutOrStdout()
	switch {
	case current == 0:
		fmt.Fprintf(out, "there is no schema hoko yet; caddy hoko migrate creates version %d\n", latest)
	case current < latest:
		fmt.Fprintf(out, "schema hoko has version %d; caddy hoko migrate upgrades it to %d\n", current, latest)
	case current == latest:
		fmt.Fprintf(out, "schema hoko has version %d, as this edge needs\n", current)
	default:
		fmt.Fprintf(out, "schema hoko has version %d, newer than this edge's %d; the edge works, but upgrade it\n",
			current, latest)
	}
	return nil
}
