// Package stage starts the servers of a measurement: edges and stock Caddys, the Fastify service,
// and the Postgres, the Redis and the site that all of them share.
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

// BuildTags are the build tags of the edge, which omit unused storage drivers of Caddy.
const BuildTags = "nobadger,nomysql,nopgx"

// Options are the options of Open.
type Options struct {
	Binary        string // path of the edge; Open builds it if empty
	PGO           bool   // build with cmd/caddy/edge.pgo, which takes twice as long
	Logs          string // directory for the output of edges and services; /dev/null if empty
	SharedBuffers string // shared_buffers of Postgres, 1GB by default
	Customers     int    // in the database
}

// Stage holds the servers of a run.
type Stage struct {
	Database *Database
	Postgres *devserver.Postgres
	Pgbench  string // path of the executable
	Peers    string // directory with a copy of peers.Files

	dir       string // for all temporary files
	root      string // of the repository
	self      string // path of this executable
	binary    string // path of the edge
	logs      string
	settings  map[string]string // of Postgres, if not the default
	redis     *devserver.Redis
	client    *redis.Client
	installed bool        // whether npm has installed the service
	started   int         // number of edges so far
	proxies   []proxyKind // that have been started
	closers   []func()
}

// Open starts Postgres and Redis and creates the database. Close stops them and all that the stage
// has started since.
func Open(ctx context.Context, o Options) (_ *Stage, err error) {
	s := &Stage{logs: o.Logs, settings: map[string]string{
		"shared_buffers":  cmp.Or(o.SharedBuffers, "1GB"),
		"max_connections": "300",
		// Reset vacuums and runs checkpoints between rounds; none may begin during a round.
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
	// The path is short because it contains Unix sockets. If root runs the benchmark, Postgres and
	// Redis run as another user and must be able to enter the directory.
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

// repositoryRoot returns the directory of the module.
func repositoryRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "hoko.to/edge").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository, in which bench must run: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// build builds cmd/caddy with the flags of the image, and with its profile if pgo is set.
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

// Go returns a go command that runs in the repository without cgo, as xcaddy does.
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
	s.redis, err = devserver.StartRedis(ctx, devserver.RedisOptions{Dir: filepath.Join(s.dir, "redis")})
	if err != nil {
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

// findPgbench prefers the pgbench of the running Postgres to the one in PATH.
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

// Databases returns Postgres and Redis for measure.Snapshot.
func (s *Stage) Databases() []measure.Process {
	return []measure.Process{{Name: "Postgres", PID: s.Postgres.PID()}, {Name: "Redis", PID: s.redis.PID()}}
}

// RedisCalls returns the number of scripts that Redis has run. Each decides about the limits of one
// request, or of several concurrent requests with one key.
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

// TempDir creates a directory whose name begins with name. Close removes it.
func (s *Stage) TempDir(name string) (string, error) { return os.MkdirTemp(s.dir, name) }

func (s *Stage) onClose(f func()) { s.closers = append(s.closers, f) }

// Mark returns a mark for Unwind.
func (s *Stage) Mark() int { return len(s.closers) }

// Unwind stops all that was started after the mark, the last first.
func (s *Stage) Unwind(mark int) {
	for _, f := range slices.Backward(s.closers[mark:]) {
		f()
	}
	s.closers = s.closers[:mark]
}

// Close stops all that the stage has started and removes its files.
func (s *Stage) Close() { s.Unwind(0) }
