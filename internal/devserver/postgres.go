package devserver

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// postgresPort is a part of the socket's name only: no port is opened, unless Settings say so.
const postgresPort = "5432"

// PostgresOptions says where and how a private Postgres runs.
type PostgresOptions struct {
	// Dir is the server's directory, made where it is missing. Its data stays there when the server ends.
	Dir string
	// Fsync makes commits outlive a crash of the machine. Tests do without.
	Fsync bool
	// Settings are further settings of the server, for instance max_connections: "200".
	Settings map[string]string
	// StandbyOf, in a new directory, is the server whose data is copied, to follow it as its standby.
	StandbyOf *Postgres
	// Env are further variables of the server's environment, NAME=value.
	Env []string
}

// Postgres is a running private Postgres. Whoever started it stops it; it does not outlive this process.
type Postgres struct {
	*process
	port string
}

// StartPostgres starts a Postgres and returns when it answers. In a new directory it makes a
// database cluster first (UTF8, locale C, superuser postgres), which takes a second.
// ctx bounds the start, not the server's life. The error of a start that failed
// holds the end of the server's log; it wraps ErrNotInstalled where there is no Postgres.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p, err := startPostgres(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("devserver: %w", err)
	}
	return p, nil
}

func startPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	bin, err := findPostgres()
	if err != nil {
		return nil, err
	}
	h, err := openHome(ctx, o.Dir)
	if err != nil {
		return nil, err
	}
	defer h.unlock()
	data := filepath.Join(h.dir, "data")
	if err := makeData(ctx, h, data, func(fresh string) *exec.Cmd { return dataCommand(ctx, h, bin, fresh, o) }); err != nil {
		return nil, err
	}
	if err := removeStalePID(filepath.Join(data, "postmaster.pid")); err != nil {
		return nil, err
	}
	port := cmp.Or(o.Settings["port"], postgresPort)
	if err := h.makeSockets(".s.PGSQL." + port); err != nil {
		return nil, err
	}
	// SIGINT is Postgres's fast shutdown: its clients are cut off, its data is in order.
	proc, err := startProcess(h, syscall.SIGINT, o.Env, filepath.Join(bin, "postgres"), postgresArgs(h, data, o)...)
	if err != nil {
		return nil, err
	}
	p := &Postgres{proc, port}
	if err := p.awaitReady(ctx, p.ask); err != nil {
		return nil, err
	}
	return p, nil
}

// makeData makes the data directory, whole or not at all, unless it is there.
func makeData(ctx context.Context, h *home, data string, command func(fresh string) *exec.Cmd) error {
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		return err
	}
	fresh := data + ".new"
	if err := h.makeOwn(fresh); err != nil {
		return err
	}
	cmd := command(fresh)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w:\n%s", filepath.Base(cmd.Path), err, out)
	}
	return os.Rename(fresh, data)
}

// dataCommand fills a data directory: with a new cluster, whose socket's directory is all the
// protection that it needs, or with a copy of the primary's.
func dataCommand(ctx context.Context, h *home, bin, fresh string, o PostgresOptions) *exec.Cmd {
	if o.StandbyOf != nil {
		// PATH may have links to some of the programs only.
		if server, err := filepath.EvalSymlinks(filepath.Join(bin, "postgres")); err == nil {
			bin = filepath.Dir(server)
		}
		return h.command(ctx, filepath.Join(bin, "pg_basebackup"), "-D", fresh, "-d", o.StandbyOf.DSN("postgres"),
			"--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync")
	}
	args := []string{"-D", fresh, "-U", "postgres", "-E", "UTF8", "--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256"}
	if !o.Fsync {
		args = append(args, "--no-sync")
	}
	return h.command(ctx, filepath.Join(bin, "initdb"), args...)
}

// removeStalePID removes a dead server's pid file where its number is a living
// stranger's by now: Postgres would take that for itself and refuse to start.
// No server of this directory lives, or its lock were not ours.
func removeStalePID(path string) error {
	pid := readPID(path)
	if pid <= 0 || syscall.Kill(pid, 0) == syscall.ESRCH {
		return nil
	}
	return os.Remove(path)
}

func postgresArgs(h *home, data string, o PostgresOptions) []string {
	settings := map[string]string{
		"listen_addresses":        "",
		"unix_socket_directories": `"` + strings.ReplaceAll(h.sockets, `"`, `""`) + `"`,
		"port":                    postgresPort,
		// No terminal, collector or system log: what the server says goes to the home's log.
		"logging_collector": "off",
		"log_destination":   "stderr",
		// A killed server's segments are then in its directory, not in the machine's shared memory.
		"dynamic_shared_memory_type": "mmap",
	}
	if !o.Fsync {
		settings["fsync"], settings["full_page_writes"] = "off", "off"
	}
	maps.Copy(settings, o.Settings)
	args := []string{"-D", data}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// ask is answered when the server takes connections.
func (p *Postgres) ask(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.DSN("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// DSN is the URL of one of the server's databases, as its superuser; postgres is there from the start.
func (p *Postgres) DSN(database string) string {
	query := url.Values{"host": {p.home.sockets}, "port": {p.port}, "sslmode": {"disable"}}
	dsn := url.URL{
		Scheme: "postgres",
		User:   url.User("postgres"),
		Path:   "/" + database,
		// libpq takes a plus sign for itself, not for a space.
		RawQuery: strings.ReplaceAll(query.Encode(), "+", "%20"),
	}
	return dsn.String()
}

// Stop shuts the server down in good order, harder where that takes long, and waits for its end.
func (p *Postgres) Stop() { p.end(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL) }
