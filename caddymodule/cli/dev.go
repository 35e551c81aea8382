package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"hoko.to/edge/internal/devserver"
)

func devCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev [--port <number>]",
		Short: "Runs the edge with a Postgres, a Redis, demo data and a demo site of its own",
		Long: `Runs the shipped configuration at https://localhost:8443, reachable from this
machine only, and prints a curl line that records a sale.

A private Postgres and Redis are started from this machine's own binaries, and
end with the command. Their data, the demo key and the certificate authority,
which no browser is made to trust, are kept in $XDG_STATE_HOME/hoko-edge, by
default ~/.local/state/hoko-edge (root: /var/lib/hoko-edge, macOS:
~/Library/Application Support/hoko-edge).

If DATABASE_URL or REDIS_URL is set, that server is used instead. The schema
hoko of that database is created or upgraded, and the workspace hoko_dev is
added with a key, a link, a click, a customer and a lead; nothing else in it is
changed. If UPSTREAM is set, that is the site behind instead of the demo one.`,
		Args: cobra.NoArgs,
		RunE: dev,
	}
	cmd.Flags().Int("port", 8443, "port of https://localhost")
	return cmd
}

func dev(cmd *cobra.Command, _ []string) error {
	// A Ctrl-C also ends the readers of our output, which must not prevent an orderly stop.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	defer context.AfterFunc(ctx, func() {
		stop() // so that a second signal ends the process
		fmt.Fprintln(cmd.ErrOrStderr(), "\nStopping. Once more, and it does not wait for open requests.")
	})()
	err := runDev(ctx, cmd)
	if ctx.Err() != nil {
		return nil // whatever the signal interrupted
	}
	return err
}

func runDev(ctx context.Context, cmd *cobra.Command) error {
	port, _ := cmd.Flags().GetInt("port")
	dir, unlock, err := lockStateDir()
	if err != nil {
		return err
	}
	defer unlock()
	e := devEdge{dir: dir, port: port}
	if e.hosts, err = freeLoopback(port); err != nil {
		return err
	}
	backing, err := startBacking(ctx, dir)
	if err != nil {
		return err
	}
	defer backing.stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	backing.watch(cancel)

	key, err := backing.prepare(ctx, filepath.Join(dir, "key"), cmd.ErrOrStderr())
	if err != nil {
		return causeOf(ctx, err)
	}
	upstream, closeSite, err := siteBehind()
	if err != nil {
		return err
	}
	defer closeSite()
	defer stopEdge()
	if err := e.start(ctx, backing, upstream); err != nil {
		return causeOf(ctx, err)
	}
	if err := writeBanner(cmd.OutOrStdout(), &e, backing, key, upstream); err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// causeOf returns why ctx ended, if it did, or else err: a server that exited explains what failed
// without it.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// lockStateDir returns the directory of everything that dev keeps, locked for this process.
func lockStateDir() (dir string, unlock func() error, err error) {
	dir, err = devserver.StateDir()
	if err != nil {
		return "", nil, err
	}
	lock, err := devserver.Lock(dir)
	if locked, ok := errors.AsType[*devserver.LockedError](err); ok {
		return "", nil, fmt.Errorf("hoko dev is running already: %w; stop that one first, or give this one a state directory (XDG_STATE_HOME) and a port (--port) of its own", locked)
	}
	if err != nil {
		return "", nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return dir, lock.Close, nil
}
