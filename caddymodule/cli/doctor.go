package cli

import (
	"cmp"
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/caddymodule/cli/doctor"
	"hoko.to/edge/caddymodule/cli/keys"
)

func doctorCommand() *cobra.Command {
	cmd := command.WithOptionalDatabase(&cobra.Command{
		Use:   "doctor [flags]",
		Short: "Checks the configuration, Postgres, Redis and the site, and suggests fixes",
		Long: `Checks that Postgres and Redis are reachable and supported, that clocks agree, that
the schema has this edge's version, that the role has the required rights and sees
all rows, that every lookup uses an index, that edges learn of changed keys, that
connections and open files suffice, and that Redis keeps its buckets. Run it as the
edge's role. It changes nothing: it rolls back the test sales that it records,
including the effects of triggers.

With --config, it takes the addresses and limits of the hoko block from that file,
unless a flag gives them, and also checks trusted_proxies, certificates and whether
the site's upstreams accept connections. Run it as the edge's user, with the edge's
environment.

With --probe-key and the connection string of the schema's owner, it also changes
that key, restores it in the same transaction, and checks that the changes are
announced.

The exit code is 1 if the edge would not work, and otherwise 0. With --strict, it is
also 1 if there are warnings.`,
		Example: `  $ caddy hoko doctor --config /etc/caddy/Caddyfile
  $ caddy hoko doctor --config Caddyfile --edges 3 --strict --json
  $ caddy hoko doctor --database-url "$OWNER_DATABASE_URL" --probe-key hoko_Ab12`,
	}, runDoctor)
	flags := cmd.Flags()
	flags.Lookup("config").Usage = "configuration file to check and to take addresses from"
	flags.String("listen-url", "", "listen_dsn of the hoko block, if set (default: the database)")
	flags.String("redis-url", "", "address of Redis (default: REDIS_URL)")
	flags.String("redis-prefix", "", "prefix of the redis block, if set (default: hoko:)")
	flags.String("probe-key", "", "id or first characters of a key to change and restore")
	command.CompleteFlag(cmd, "probe-key", keys.Complete)
	flags.Int("edges", 1, "how many edges share Postgres")
	flags.Bool("strict", false, "fail on warnings as well")
	command.AddJSONFlag(cmd)
	return cmd
}

func runDoctor(ctx context.Context, cmd *cobra.Command, dsn string) error {
	options, err := doctorOptions(cmd, dsn)
	if err != nil {
		return err
	}
	strict, _ := cmd.Flags().GetBool("strict")
	report := doctor.Run(ctx, options)
	if !command.AsJSON(cmd) {
		report.Write(cmd.OutOrStdout(), false)
		return report.Err(strict)
	}
	if err := command.PrintJSON(cmd, report); err != nil {
		return err
	}
	return report.Err(strict)
}

// doctorOptions returns what the flags give, else what --config gives, else the environment.
func doctorOptions(cmd *cobra.Command, dsn string) (o doctor.Options, err error) {
	o.ProbeKey = command.Flag(cmd, "probe-key")
	if o.Edges, _ = cmd.Flags().GetInt("edges"); o.Edges < 1 {
		return o, errors.New("--edges must be at least 1")
	}
	file := command.Flag(cmd, "config")
	if file == "" && command.Flag(cmd, "adapter") != "" {
		return o, errors.New("--adapter needs --config, whose file it adapts")
	}
	var hoko command.Hoko
	if file != "" {
		o.Config = &doctor.Config{File: file}
		o.Config.Config, o.Config.Err = command.LoadConfig(cmd)
		if o.Config.Err == nil {
			hoko, o.Config.Err = o.Config.Hoko()
		}
	}
	o.DSN = cmp.Or(dsn, hoko.DSN, os.Getenv("DATABASE_URL"))
	o.ListenDSN = cmp.Or(command.Flag(cmd, "listen-url"), hoko.ListenDSN)
	o.RedisURL = cmp.Or(command.Flag(cmd, "redis-url"), hoko.RedisURL, os.Getenv("REDIS_URL"))
	o.RedisPrefix = cmp.Or(command.Flag(cmd, "redis-prefix"), hoko.RedisPrefix)
	o.RedisTimeout, o.MaxConns, o.Writers = hoko.RedisTimeout, hoko.MaxConns, hoko.Writers
	return o, nil
}
