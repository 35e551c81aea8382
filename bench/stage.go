package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"hoko.to/edge/bench/measure"
	"hoko.to/edge/internal/devserver"
)

// postgresSettings are what differs from Postgres's defaults, for all sides alike.
func postgresSettings(o options) map[string]string {
	settings := map[string]string{
		"shared_buffers":  "1GB",
		"max_connections": "300",
		// Checkpoints and vacuums happen between rounds, where they favour nobody.
		"max_wal_size":       "16GB",
		"checkpoint_timeout": "1h",
		"autovacuum":         "off",
	}
	if o.scale {
		settings["shared_buffers"] = o.machine.largeCache()
	}
	return settings
}

// stage is everything around the sides: one Postgres and one Redis for all of them, and the site.
type stage struct {
	dir      string // of all that is temporary
	root     string // of the repository
	self     string // this executable
	binary   string // of the edge
	logs     string
	postgres *devserver.Postgres
	tuned    map[string]string // Postgres's settings that are not its defaults
	redis    *devserver.Redis
	database *database
	closers  []func()
	started  int    // edges, for names of directories
	service  string // its directory, once installed
}

func openStage(ctx context.Context, o options) (_ *stage, err error) {
	s := &stage{logs: o.logs}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if s.root, err = repositoryRoot(ctx); err != nil {
		return nil, err
	}
	// Short, as sockets are in it, and passable, as under root the servers run as somebody else.
	if s.dir, err = os.MkdirTemp("", "hoko-bench-"); err != nil {
		return nil, err
	}
	s.onClose(func() { os.RemoveAll(s.dir) })
	if err = os.Chmod(s.dir, 0o711); err != nil {
		return nil, err
	}
	if s.binary, err = filepath.Abs(o.binary); err != nil {
		return nil, err
	}
	if o.binary == "" {
		if err = s.build(ctx, o.mode); err != nil {
			return nil, err
		}
	}
	if err = s.startServers(ctx, postgresSettings(o)); err != nil {
		return nil, err
	}
	s.database, err = s.createDatabase(ctx, "bench", o.mode.customers)
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

// build makes the edge as the image has it.
func (s *stage) build(ctx context.Context, m mode) error {
	s.binary = filepath.Join(s.dir, "caddy")
	args := []string{"build", "-trimpath", "-ldflags", "-w -s", "-tags", buildTags, "-o", s.binary}
	if m.judged {
		args = append(args, "-pgo=cmd/caddy/edge.pgo") // it doubles the time of a build
	}
	cmd := s.goCommand(ctx, append(args, "./cmd/caddy")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the edge: %w\n%s", err, out)
	}
	return nil
}

const buildTags = "nobadger,nomysql,nopgx"

// goCommand runs in the repository and builds as xcaddy does.
func (s *stage) goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd
}

func (s *stage) startServers(ctx context.Context, settings map[string]string) (err error) {
	s.tuned = settings
	s.postgres, err = devserver.StartPostgres(ctx, devserver.PostgresOptions{Dir: filepath.Join(s.dir, "pg"), Fsync: true, Settings: settings})
	if err != nil {
		return err
	}
	s.onClose(s.postgres.Stop)
	if s.redis, err = devserver.StartRedis(ctx, devserver.RedisOptions{Dir: filepath.Join(s.dir, "redis")}); err != nil {
		return err
	}
	s.onClose(s.redis.Stop)
	return nil
}

// backends are the processes that every side with a database uses.
func (s *stage) backends() []measure.Process {
	return []measure.Process{{Name: "Postgres", PID: s.postgres.PID()}, {Name: "Redis", PID: s.redis.PID()}}
}

func (s *stage) onClose(f func()) { s.closers = append(s.closers, f) }

// mark and unwind bound a suite: what it started ends with it.
func (s *stage) mark() int { return len(s.closers) }

func (s *stage) unwind(mark int) {
	for _, f := range slices.Backward(s.closers[mark:]) {
		f()
	}
	s.closers = s.closers[:mark]
}

func (s *stage) close() { s.unwind(0) }
