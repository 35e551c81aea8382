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
		Short: "Runs the edge with a private Postgres and Redis, demo data and a demo site",
		Long: `Runs the shipped configuration at https://localhost:8443, reachable from this
machine only, and prints a curl command that records a sale.

It starts a private Postgres and Redis from the binaries installed on this machine,
and stops them when it ends. Their data, the demo key and a certificate authority,
which is added to no trust store, are kept in $XDG_STATE_HOME/hoko-edge, by default
~/.local/state/hoko-edge (root: /var/lib/hoko-edge, macOS:
~/Library/Application Support/hoko-edge).

If DATABASE_URL or REDIS_URL is set, that server is used instead. In that database,
the schema hoko is created or upgraded, and the workspace hoko_dev is added with a
key, a link, a click, a customer and a lead; nothing else is changed. If UPSTREAM is
set, the edge proxies to that site instead of the demo site.`,
		Example:           "  $ caddy hoko dev\n  $ UPSTREAM=127.0.0.1:3000 caddy hoko dev --port 9443",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              dev,
	}
	cmd.Flags().Int("port", 8443, "port of https://localhost")
	return cmd
}

func dev(cmd *cobra.Command, _ []string) error {
	// Ctrl-C also ends a program that reads the output. SIGPIPE must not prevent a clean stop.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	defer context.AfterFunc(ctx, func() {
		stop() // a second signal then ends the process
		fmt.Fprintln(cmd.ErrOrStderr(), "\nStopping. Press Ctrl-C again to stop without waiting for open requests.")
	})()
	err := runDev(ctx, cmd)
	if ctx.Err() != nil {
		return nil // the signal caused err
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
	servers, err := startServers(ctx, dir)
	if err != nil {
		return err
	}
	defer servers.stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	servers.watch(cancel)

	key, err := servers.prepare(ctx, filepath.Join(dir, "key"), cmd.ErrOrStderr())
	if err != nil {
		return causeOf(ctx, err)
	}
	upstream, closeSite, err := openUpstream()
	if err != nil {
		return err
	}
	defer closeSite()
	defer stopEdge()
	if err := e.start(ctx, servers, upstream); err != nil {
		return causeOf(ctx, err)
	}
	if err := writeBanner(cmd.OutOrStdout(), &e, servers, key, upstream); err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// causeOf returns the cause if ctx has ended, and otherwise err. If a server has exited, err is
// only a consequence.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// lockStateDir returns the directory of all that dev keeps, locked for this process.
func lockStateDir() (dir string, unlock func() error, err error) {
	dir, err = devserver.StateDir()
	if err != nil {
		return "", nil, err
	}
	lock, err := devserver.Lock(dir)
	if locked, ok := errors.AsType[*devserver.LockedError](err); ok {
		return "", nil, fmt.Errorf("hoko dev is running already: %w; stop it, or use another state directory "+
			"(XDG_STATE_HOME) and port (--port)", locked)
	}
	if err != nil {
		return "", nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return dir, lock.Close, nil
}
