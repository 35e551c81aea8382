package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"os"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/doctor"
)

func doctorCommand() *cobra.Command {
	cmd := onAnyDatabase(&cobra.Command{
		Use:   "doctor [flags]",
		Short: "Checks what the edge needs, and names the fix of what it finds",
		Long: `Checks that Postgres and Redis can be reached, their versions and clocks, that the
schema is this edge's, that the role may do what the edge does and sees all rows,
that every lookup is an index probe, and that changed keys are heard of. Run it as
the edge's role. It changes nothing: the sales that it has Postgres record are
rolled back, with what triggers did for them.

With --probe-key and the connection string of the schema's owner it also changes
the key that you name and restores it in one transaction, to hear of the change.

The exit code is 0 if the edge would work, and 1 if not. Warnings are printed, and
with --strict they make it 1.`,
	}, runDoctor)
	flags := cmd.Flags()
	flags.String("listen-url", "", "listen_dsn of the hoko block, if it has one (default: the database's connection string)")
	flags.String("redis-url", "", "address of Redis (default: REDIS_URL)")
	flags.String("redis-prefix", "", "prefix of the redis block, if it has one (default: hoko:)")
	flags.String("probe-key", "", "id or first characters of a key to change and restore")
	flags.Bool("json", false, "print one JSON document (docs/operations.md) in place of lines")
	flags.Bool("strict", false, "fail on warnings, too")
	return cmd
}

func runDoctor(ctx context.Context, cmd *cobra.Command, dsn string) error {
	strict, _ := cmd.Flags().GetBool("strict")
	asJSON, _ := cmd.Flags().GetBool("json")
	report := doctor.Run(ctx, doctor.Options{
		DSN:         dsn,
		ListenDSN:   text(cmd, "listen-url"),
		RedisURL:    cmp.Or(text(cmd, "redis-url"), os.Getenv("REDIS_URL")),
		RedisPrefix: text(cmd, "redis-prefix"),
		ProbeKey:    text(cmd, "probe-key"),
	})
	if !asJSON {
		report.Write(cmd.OutOrStdout(), false)
		return report.Err(strict)
	}
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(report); err != nil {
		return err
	}
	return report.Err(strict)
}
