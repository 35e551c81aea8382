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

// server is a Postgres or Redis that dev has started.
type server interface {
	Done() <-chan struct{}
	Err() error
	Stop()
}

// backing is the Postgres and the Redis of a development edge: private ones, unless the environment
// names others.
type backing struct {
	databaseURL, redisURL string
	ownDatabase, ownRedis bool
	started               []server
}

// startBacking starts what the environment does not name, in directories below dir.
func startBacking(ctx context.Context, dir string) (*backing, error) {
	b := &backing{databaseURL: os.Getenv("DATABASE_URL"), redisURL: os.Getenv("REDIS_URL")}
	if b.databaseURL == "" {
		// Sales that were answered outlive a crash of the machine here too.
		p, err := devserver.StartPostgres(ctx, devserver.PostgresOptions{Dir: filepath.Join(dir, "postgres"), Fsync: true})
		if err != nil {
			return nil, err
		}
		b.started = append(b.started, p)
		b.databaseURL, b.ownDatabase = p.DSN("postgres"), true
	}
	if b.redisURL == "" {
		r, err := devserver.StartRedis(ctx, devserver.RedisOptions{Dir: filepath.Join(dir, "redis")})
		if err != nil {
			b.stop()
			return nil, err
		}
		b.started = append(b.started, r)
		b.redisURL, b.ownRedis = r.URL(), true
	}
	return b, nil
}

// watch cancels with the reason if a server exits. Its goroutines end with the servers.
func (b *backing) watch(cancel context.CancelCauseFunc) {
	for _, s := range b.started {
		go func() {
			<-s.Done()
			cancel(s.Err())
		}()
	}
}

func (b *backing) stop() {
	for _, s := range b.started {
		s.Stop()
	}
}

// prepare migrates the database, adds the demo data, and checks that an edge would work. It returns
// the demo key, which is kept in a file because the database stores only its hash.
func (b *backing) prepare(ctx context.Context, keyFile string, progress io.Writer) (key string, err error) {
	logger := slog.New(slog.DiscardHandler)
	if !b.ownDatabase {
		fmt.Fprintf(progress, "DATABASE_URL is set: the schema hoko of that database is brought up to date, and workspace %s is added where it is missing.\n",
			admin.DemoWorkspace)
		logger = slog.New(slog.NewTextHandler(progress, nil))
	}
	if err := postgres.Migrate(ctx, b.databaseURL, logger); err != nil {
		return "", err
	}
	kept, err := os.ReadFile(keyFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	key, err = admin.SeedDemo(ctx, b.databaseURL, strings.TrimSpace(string(kept)))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(keyFile, []byte(key+"\n"), 0o600); err != nil {
		return "", err
	}
	report := doctor.Run(ctx, doctor.Options{DSN: b.databaseURL, RedisURL: b.redisURL})
	report.Write(progress, true)
	return key, report.Err(false)
}
