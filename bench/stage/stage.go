// Package stage runs what is measured and what it needs: edges and stock Caddys, one Postgres and
// one Redis for all of them, the site behind them, and the service that they are compared with.
package stage

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/bench/measure"
	"hoko.to/edge/bench/peers"
	"hoko.to/edge/internal/devserver"
)

// BuildTags are those of the edge's own builds.
const BuildTags = "nobadger,nomysql,nopgx"

// Options say what a stage has.
type Options struct {
	Binary        string // of the edge; built if empty
	PGO           bool   // the build uses the edge's profile, which doubles its time
	Logs          string // directory of what edges and services print; /dev/null if empty
	SharedBuffers string // of Postgres; 1GB if empty
	Customers     int    // rows of the database
}

// Stage is everything around the sides.
type Stage struct {
	Database *Database
	Postgres *devserver.Postgres
	Pgbench  string // path
	Peers    string // directory of the copied peers.Files

	dir       string // of all that is temporary
	root      string // of the repository
	self      string // this executable
	binary    string // of the edge
	logs      string
	settings  map[string]string // of Postgres, that are not its defaults
	redis     *devserver.Redis
	client    *redis.Client
	installed bool // the service
	started   int  // edges, for names of directories
	closers   []func()
}

// Open starts the servers and fills the database. Close ends all that was started since.
func Open(ctx context.Context, o Options) (_ *Stage, err error) {
	s := &Stage{logs: o.Logs, settings: map[string]string{
		"shared_buffers":  cmp.Or(o.SharedBuffers, "1GB"),
		"max_connections": "300",
		// Checkpoints and vacuums happen between rounds, where they favor no side.
		"max_wal_size":       "16GB",
		"checkpoint_timeout": "1h",
		"autovacuum":         "off",
	}}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if s.root, err = repositoryRoot(ctx); err != nil {
		return nil, err
	}
	// Short, as sockets are in it, and passable, as the servers run as another user under root.
	if s.dir, err = os.MkdirTemp("", "hoko-bench-"); err != nil {
		return nil, err
	}
	s.onClose(func() { os.RemoveAll(s.dir) })
	if err = os.Chmod(s.dir, 0o711); err != nil {
		return nil, err
	}
	s.Peers = filepath.Join(s.dir, "peers")
	if err = os.CopyFS(s.Peers, peers.Files); err != nil {
		return nil, err
	}
	if s.binary, err = filepath.Abs(o.Binary); err != nil {
		return nil, err
	}
	if o.Binary == "" {
		if err = s.build(ctx, o.PGO); err != nil {
			return nil, err
		}
	}
	if err = s.startServers(ctx); err != nil {
		return nil, err
	}
	s.Database, err = s.CreateDatabase(ctx, "bench", o.Customers)
	return s, err
}

// repositoryRoot is where the sources are that are built and tested.
func repositoryRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "hoko.to/edge").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository (bench runs inside of it): %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// build builds cmd/caddy with the flags of the image, and its profile if pgo.
func (s *Stage) build(ctx context.Context, pgo bool) error {
	s.binary = filepath.Join(s.dir, "caddy")
	args := []string{"build", "-trimpath", "-ldflags", "-w -s", "-tags", BuildTags, "-o", s.binary}
	if pgo {
		args = append(args, "-pgo=cmd/caddy/edge.pgo")
	}
	if out, err := s.Go(ctx, append(args, "./cmd/caddy")...).CombinedOutput(); err != nil {
		return fmt.Errorf("build the edge: %w\n%s", err, out)
	}
	return nil
}

// Go returns a command that runs in the repository and builds as xcaddy does.
func (s *Stage) Go(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd
}

func (s *Stage) startServers(ctx context.Context) (err error) {
	s.Postgres, err = devserver.StartPostgres(ctx, devserver.PostgresOptions{
		Dir: filepath.Join(s.dir, "pg"), Fsync: true, Settings: s.settings,
	})
	if err != nil {
		return err
	}
	s.onClose(s.Postgres.Stop)
	if s.redis, err = devserver.StartRedis(ctx, devserver.RedisOptions{Dir: filepath.Join(s.dir, "redis")}); err != nil {
		return err
	}
	s.onClose(s.redis.Stop)
	o, err := redis.ParseURL(s.redis.URL())
	if err != nil {
		return err
	}
	s.client = redis.NewClient(o)
	s.onClose(func() { s.client.Close() })
	s.Pgbench, err = s.findPgbench()
	return err
}

// findPgbench returns that which came with the server, else that in PATH.
func (s *Stage) findPgbench() (string, error) {
	server, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", s.Postgres.PID()))
	if err == nil {
		path := filepath.Join(filepath.Dir(server), "pgbench")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return exec.LookPath("pgbench")
}

// Backends returns the processes that every side with a database uses.
func (s *Stage) Backends() []measure.Process {
	return []measure.Process{{Name: "Postgres", PID: s.Postgres.PID()}, {Name: "Redis", PID: s.redis.PID()}}
}

// RedisCalls returns how many scripts Redis has run: each is one question whether a request is
// within its limit.
func (s *Stage) RedisCalls(ctx context.Context) (all int, err error) {
	info := s.client.InfoMap(ctx, "commandstats")
	if info.Err() != nil {
		return 0, info.Err()
	}
	for _, command := range []string{"cmdstat_evalsha", "cmdstat_eval"} {
		if stats, ok := strings.CutPrefix(info.Item("Commandstats", command), "calls="); ok {
			number, _, _ := strings.Cut(stats, ",")
			calls, err := strconv.Atoi(number)
			if err != nil {
				return 0, err
			}
			all += calls
		}
	}
	return all, nil
}

// TempDir makes a directory of this name, for as long as the stage is open.
func (s *Stage) TempDir(name string) (string, error) { return os.MkdirTemp(s.dir, name) }

func (s *Stage) onClose(f func()) { s.closers = append(s.closers, f) }

// Mark returns what Unwind needs to end all that is started from now on.
func (s *Stage) Mark() int { return len(s.closers) }

// Unwind ends all that was started since the mark.
func (s *Stage) Unwind(mark int) {
	for _, f := range slices.Backward(s.closers[mark:]) {
		f()
	}
	s.closers = s.closers[:mark]
}

// Close ends everything.
func (s *Stage) Close() { s.Unwind(0) }
