package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"hoko.to/edge/caddymodule/cli/doctor"
	"hoko.to/edge/internal/devserver"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/admin"
)

// servers are the Postgres and the Redis of a development edge: those of DATABASE_URL and REDIS_URL
// if set, and otherwise private ones.
type servers struct {
	databaseURL, redisURL string
	ownDatabase, ownRedis bool
	started               []server
}

// server is a private Postgres or Redis.
type server interface {
	Done() <-chan struct{}
	Err() error
	Stop()
}

// startServers starts the private servers, in directories below dir.
func startServers(ctx context.Context, dir string) (*servers, error) {
	s := &servers{databaseURL: os.Getenv("DATABASE_URL"), redisURL: os.Getenv("REDIS_URL")}
	if s.databaseURL == "" {
		// With Fsync, recorded sales survive a crash of the machine.
		o := devserver.PostgresOptions{Dir: filepath.Join(dir, "postgres"), Fsync: true}
		p, err := devserver.StartPostgres(ctx, o)
		if err != nil {
			return nil, err
		}
		s.started = append(s.started, p)
		s.databaseURL, s.ownDatabase = p.DSN("postgres"), true
	}
	if s.redisURL == "" {
		r, err := devserver.StartRedis(ctx, devserver.RedisOptions{Dir: filepath.Join(dir, "redis")})
		if err != nil {
			s.stop()
			return nil, err
		}
		s.started = append(s.started, r)
		s.redisURL, s.ownRedis = r.URL(), true
	}
	return s, nil
}

// watch cancels with the server's error if a private server exits.
func (s *servers) watch(cancel context.CancelCauseFunc) {
	for _, started := range s.started {
		go func() {
			<-started.Done()
			cancel(started.Err())
		}()
	}
}

func (s *servers) stop() {
	for _, started := range s.started {
		started.Stop()
	}
}

// prepare migrates the database, adds the demo data, and checks that an edge would work. It returns
// the demo key, which it keeps in keyFile because the database stores only the key's hash.
func (s *servers) prepare(ctx context.Context, keyFile string, progress io.Writer) (key string, err error) {
	logger := slog.New(slog.DiscardHandler)
	if !s.ownDatabase {
		fmt.Fprintf(progress, "DATABASE_URL is set: in that database, the schema hoko is created or upgraded, "+
			"and workspace %s is added if it is missing.\n", admin.DemoWorkspace)
		logger = slog.New(slog.NewTextHandler(progress, nil))
	}
	if err := postgres.Migrate(ctx, s.databaseURL, logger); err != nil {
		return "", err
	}
	kept, err := os.ReadFile(keyFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	key, err = admin.SeedDemo(ctx, s.databaseURL, strings.TrimSpace(string(kept)))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(keyFile, []byte(key+"\n"), 0o600); err != nil {
		return "", err
	}
	report := doctor.Run(ctx, doctor.Options{DSN: s.databaseURL, RedisURL: s.redisURL})
	report.Write(progress, true)
	return key, report.Err(false)
}
