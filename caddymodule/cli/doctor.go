package cli

import (
	"cmp"
	"context"
	"os"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/caddymodule/cli/doctor"
)

func doctorCommand() *cobra.Command {
	cmd := command.WithOptionalDatabase(&cobra.Command{
		Use:   "doctor [flags]",
		Short: "Checks Postgres and Redis, and suggests fixes",
		Long: `Checks that Postgres and Redis are reachable and supported, that clocks agree, that
the schema has this edge's version, that the role has the required rights and sees
all rows, that every lookup uses an index, and that edges learn of changed keys.
Run it as the edge's role. It changes nothing: it rolls back the test sales that it
records, including the effects of triggers.

With --probe-key and the connection string of the schema's owner, it also changes
that key, restores it in the same transaction, and checks that the changes are
announced.

The exit code is 1 if the edge would not work, and otherwise 0. With --strict, it is
also 1 if there are warnings.`,
		Example: "  $ caddy hoko doctor\n  $ caddy hoko doctor --strict --json",
	}, runDoctor)
	flags := cmd.Flags()
	flags.String("listen-url", "", "listen_dsn of the hoko block, if set (default: the database)")
	flags.String("redis-url", "", "address of Redis (default: REDIS_URL)")
	flags.String("redis-prefix", "", "prefix of the redis block, if set (default: hoko:)")
	flags.String("probe-key", "", "id or first characters of a key to change and restore")
	flags.Bool("strict", false, "fail on warnings as well")
	command.AddJSONFlag(cmd)
	return cmd
}

func runDoctor(ctx context.Context, cmd *cobra.Command, dsn string) error {
	strict, _ := cmd.Flags().GetBool("strict")
	report := doctor.Run(ctx, doctor.Options{
		DSN:         dsn,
		ListenDSN:   command.Flag(cmd, "listen-url"),
		RedisURL:    cmp.Or(command.Flag(cmd, "redis-url"), os.Getenv("REDIS_URL")),
		RedisPrefix: command.Flag(cmd, "redis-prefix"),
		ProbeKey:    command.Flag(cmd, "probe-key"),
	})
	if !command.AsJSON(cmd) {
		report.Write(cmd.OutOrStdout(), false)
		return report.Err(strict)
	}
	if err := command.PrintJSON(cmd, report); err != nil {
		return err
	}
	return report.Err(strict)
}
