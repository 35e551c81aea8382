package devserver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// hangGuard is far longer than any step of these tests.
const hangGuard = time.Minute

// tempDir returns a directory that the servers' user may enter. Under root that user may not enter
// the directories of t.TempDir.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "devserver-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func startTestPostgres(t *testing.T, o PostgresOptions) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func startTestRedis(t *testing.T, o RedisOptions) *Redis {
	t.Helper()
	r, err := StartRedis(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	return r
}

// query runs a statement and returns its only value, or an empty string.
func query(t *testing.T, p *Postgres, sql string) (value string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	return value
}

func awaitEnd(t *testing.T, p *process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(hangGuard):
		t.Fatal("still running")
	}
}

func TestStartPostgres_KeepsData(t *testing.T) {
	o := PostgresOptions{Dir: filepath.Join(tempDir(t), "postgres")}
	p := startTestPostgres(t, o)
	address := p.DSN("postgres")
	query(t, p, "CREATE TABLE kept AS SELECT 'yes' AS value")

	for name, end := range map[string]func(*Postgres){
		"after a stop": (*Postgres).Stop, "after a crash": func(p *Postgres) { p.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			end(p)
			if err := p.Err(); err != nil {
				t.Errorf("a server that was stopped reports %v", err)
			}
			var err error
			if p, err = StartPostgres(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if got := query(t, p, "SELECT value FROM kept"); got != "yes" {
				t.Errorf("data: got %q", got)
			}
			if p.DSN("postgres") != address {
				t.Errorf("moved from %s to %s", address, p.DSN("postgres"))
			}
		})
	}
	p.Kill()
}

func TestStartPostgres_StalePIDIsReused(t *testing.T) {
	o := PostgresOptions{Dir: filepath.Join(tempDir(t), "postgres")}
	p := startTestPostgres(t, o)
	p.Kill()
	// Postgres considers only its own user's processes, and Redis runs as the same user.
	other := startTestRedis(t, RedisOptions{Dir: tempDir(t)})
	file := filepath.Join(o.Dir, "data", "postmaster.pid")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	stale := append([]byte(nil), itoa(other.PID())+"\n"+rest...)
	if err := os.WriteFile(file, stale, 0o600); err != nil {
		t.Fatal(err)
	}
	startTestPostgres(t, o)
}

func TestStartPostgres_Settings(t *testing.T) {
	t.Setenv("PGPORT", "1")
	t.Setenv("PGHOST", "nowhere.invalid")
	t.Setenv("TZ", "Asia/Riyadh")
	p := startTestPostgres(t, PostgresOptions{Dir: tempDir(t), Settings: map[string]string{"max_connections": "37"}})
	for setting, want := range map[string]string{
		"max_connections": "37", "fsync": "off", "listen_addresses": "", "server_encoding": "UTF8",
		"lc_collate": "C", "timezone": "UTC",
	} {
		if got := query(t, p, "SHOW "+setting); got != want {
			t.Errorf("%s: got %q, want %q", setting, got, want)
		}
	}
}

func TestStart_UnusualDirectories(t *testing.T) {
	for name, o := range map[string]struct {
		dir     string
		outside bool
	}{
		"a path too long for a socket":              {strings.Repeat("long", 30), true},
		"a comma, the separator of hosts in a DSN":  {"a,b", true},
		"a space, as in Application Support":        {"a b", false},
		"characters that are special in other URLs": {`a+b%20"c"&d`, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(tempDir(t), o.dir)
			p := startTestPostgres(t, PostgresOptions{Dir: filepath.Join(dir, "postgres")})
			r := startTestRedis(t, RedisOptions{Dir: filepath.Join(dir, "redis")})
			for _, h := range []*home{p.home, r.home} {
				if outside := !strings.HasPrefix(h.sockets, dir); outside != o.outside {
					t.Errorf("sockets in %s", h.sockets)
				}
			}
			p.Stop()
			r.Stop()
			for _, h := range []*home{p.home, r.home} {
				if _, err := os.Stat(h.sockets); os.IsNotExist(err) != o.outside {
					t.Errorf("%s afterwards: %v", h.sockets, err)
				}
			}
		})
	}
}

func TestStartRedis_OnlyItsUserMayConnect(t *testing.T) {
	r := startTestRedis(t, RedisOptions{Dir: tempDir(t)})
	info, err := os.Stat(r.home.sockets)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		t.Errorf("mode of the sockets' directory: %o", mode)
	}
	if info, err = os.Stat(r.socket()); err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner == 0 {
		t.Error("the server runs as root")
	}
}

func TestStartRedis_HasItsOwnProcessGroup(t *testing.T) {
	r := startTestRedis(t, RedisOptions{Dir: tempDir(t)})
	group, err := syscall.Getpgid(r.PID())
	if err != nil {
		t.Fatal(err)
	}
	if group == syscall.Getpgrp() {
		t.Error("the server is in this process's group and would receive a Ctrl-C")
	}
}

func TestErr_Crash(t *testing.T) {
	p := startTestPostgres(t, PostgresOptions{Dir: tempDir(t)})
	r := startTestRedis(t, RedisOptions{Dir: tempDir(t)})
	for name, server := range map[string]*process{"postgres": p.process, "redis": r.process} {
		t.Run(name, func(t *testing.T) {
			if err := server.Err(); err != nil {
				t.Errorf("before: %v", err)
			}
			if err := syscall.Kill(server.PID(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			awaitEnd(t, server)
			if err := server.Err(); err == nil || !strings.Contains(err.Error(), "signal: killed") {
				t.Errorf("after: %v", err)
			}
		})
	}
}

func TestStart_ErrorQuotesTheLog(t *testing.T) {
	po := PostgresOptions{Dir: tempDir(t), Settings: map[string]string{"shared_buffers": "invalid"}}
	_, err := StartPostgres(t.Context(), po)
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Errorf("postgres: %v", err)
	}
	_, err = StartRedis(t.Context(), RedisOptions{Dir: tempDir(t), Settings: map[string]string{"maxmemory": "invalid"}})
	if err == nil || !strings.Contains(err.Error(), "maxmemory") {
		t.Errorf("redis: %v", err)
	}
}

func TestStartRedis_DirectoryInUse(t *testing.T) {
	o := RedisOptions{Dir: tempDir(t)}
	first := startTestRedis(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := StartRedis(ctx, o)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "a server is running in "+o.Dir) {
		t.Errorf("while the first runs: %v", err)
	}
	first.Stop()
	second := startTestRedis(t, o)
	if err := second.ping(t.Context()); err != nil {
		t.Errorf("after the first ended: %v", err)
	}
}
