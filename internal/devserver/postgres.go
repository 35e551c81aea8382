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

// postgresPort is only part of the socket's name; no port is opened unless Settings asks for one.
const postgresPort = "5432"

// PostgresOptions configures StartPostgres.
type PostgresOptions struct {
	// Dir is the server's directory; it is created if missing and keeps the data when the server
	// ends.
	Dir string
	// Fsync makes commits survive a crash of the machine. The default, off, is faster.
	Fsync bool
	// Settings are further server settings, for example max_connections: "200".
	Settings map[string]string
	// StandbyOf makes a server in a new directory a standby, with a copy of this primary's data.
	StandbyOf *Postgres
	// Env holds further environment variables of the server, as NAME=value.
	Env []string
}

// Postgres is a running private Postgres. Its owner must call Stop or Kill; it ends with this
// process at the latest.
type Postgres struct {
	*process
	port string
}

// StartPostgres starts a Postgres and returns when it accepts connections. In a new directory it
// first creates a database cluster (UTF8, locale C, superuser postgres), which takes about a
// second. ctx bounds the start, together with a timeout of one minute, but not the server's life.
// The error quotes the end of the server's log; it wraps ErrNotInstalled if there is no Postgres.
func StartPostgres(ctx context.Context, o PostgresOptions) (p *Postgres, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	defer wrapError(&err)
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
	command := func(fresh string) *exec.Cmd { return dataCommand(ctx, h, bin, fresh, o) }
	if err := makeData(ctx, h, data, command); err != nil {
		return nil, err
	}
	if err := removeStalePID(filepath.Join(data, "postmaster.pid")); err != nil {
		return nil, err
	}
	port := cmp.Or(o.Settings["port"], postgresPort)
	if err := h.makeSockets(".s.PGSQL." + port); err != nil {
		return nil, err
	}
	// SIGINT is Postgres's fast shutdown: it disconnects clients and leaves consistent data.
	proc, err := startProcess(h, syscall.SIGINT, o.Env, filepath.Join(bin, "postgres"), postgresArgs(h, data, o)...)
	if err != nil {
		return nil, err
	}
	p = &Postgres{proc, port}
	if err := p.awaitReady(ctx, p.ping); err != nil {
		return nil, err
	}
	return p, nil
}

// makeData creates the data directory, completely or not at all, unless it exists.
func makeData(ctx context.Context, h *home, data string, command func(fresh string) *exec.Cmd) error {
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		return err
	}
	fresh := data + ".new"
	if err := h.makePrivateDir(fresh); err != nil {
		return err
	}
	cmd := command(fresh)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w:\n%s", filepath.Base(cmd.Path), err, out)
	}
	return os.Rename(fresh, data)
}

// dataCommand returns the command that fills a data directory with a new cluster or a copy of the
// primary's data. A new cluster trusts local connections, because the sockets' directory is
// private.
func dataCommand(ctx context.Context, h *home, bin, fresh string, o PostgresOptions) *exec.Cmd {
	if o.StandbyOf != nil {
		// PATH may have links to only some of the programs.
		if server, err := filepath.EvalSymlinks(filepath.Join(bin, "postgres")); err == nil {
			bin = filepath.Dir(server)
		}
		return h.command(ctx, filepath.Join(bin, "pg_basebackup"), "-D", fresh, "-d", o.StandbyOf.DSN("postgres"),
			"--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync")
	}
	args := []string{"-D", fresh, "-U", "postgres", "-E", "UTF8", "--locale=C",
		"--auth-local=trust", "--auth-host=scram-sha-256"}
	if !o.Fsync {
		args = append(args, "--no-sync")
	}
	return h.command(ctx, filepath.Join(bin, "initdb"), args...)
}

// removeStalePID removes the pid file of a dead server if another process now has its PID, because
// Postgres would then not start. The lock proves that no server of this directory is alive.
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
		// The server logs to the home's log, not to a collector or the system log.
		"logging_collector": "off",
		"log_destination":   "stderr",
		// A killed server leaves its segments in its directory, not in the machine's shared memory.
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

// ping returns nil if the server accepts connections.
func (p *Postgres) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.DSN("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// DSN returns the URL of a database for the server's superuser. The database postgres always
// exists.
func (p *Postgres) DSN(database string) string {
	query := url.Values{"host": {p.home.sockets}, "port": {p.port}, "sslmode": {"disable"}}
	dsn := url.URL{
		Scheme: "postgres",
		User:   url.User("postgres"),
		Path:   "/" + database,
		// libpq does not decode a plus sign as a space.
		RawQuery: strings.ReplaceAll(query.Encode(), "+", "%20"),
	}
	return dsn.String()
}

// Stop shuts the server down and waits for its end. It escalates from SIGINT to SIGQUIT and
// SIGKILL, with ten seconds for each. Data stays consistent.
func (p *Postgres) Stop() { p.end(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL) }
