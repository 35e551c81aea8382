package devserver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// install puts empty executables into a directory.
func install(t *testing.T, dir string, names ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// barren is a machine without any package.
func barren(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	t.Setenv("PATH", filepath.Join(root, "path"))
	postgres, redis := postgresDirs, redisDirs
	t.Cleanup(func() { postgresDirs, redisDirs = postgres, redis })
	postgresDirs, redisDirs = []string{filepath.Join(root, "postgresql/*/bin")}, nil
	return root
}

func TestAMissingServerIsNamed(t *testing.T) {
	root := barren(t)
	install(t, filepath.Join(root, "path"), "postgres") // without initdb
	if _, err := StartPostgres(t.Context(), PostgresOptions{Dir: root}); !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "initdb") {
		t.Errorf("postgres: %v", err)
	}
	if _, err := StartRedis(t.Context(), RedisOptions{Dir: root}); !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "redis-server") {
		t.Errorf("redis: %v", err)
	}
}

func TestTheNewestPostgresIsFoundUnlessPATHHasOne(t *testing.T) {
	root := barren(t)
	for _, version := range []string{"9.6", "15", "17"} {
		install(t, filepath.Join(root, "postgresql", version, "bin"), "initdb", "postgres")
	}
	if got, err := findPostgres(); err != nil || got != filepath.Join(root, "postgresql/17/bin") {
		t.Errorf("without PATH: %s, %v", got, err)
	}
	install(t, filepath.Join(root, "path"), "initdb", "postgres")
	if got, err := findPostgres(); err != nil || got != filepath.Join(root, "path") {
		t.Errorf("with PATH: %s, %v", got, err)
	}
}

func TestValkeyStandsInForRedis(t *testing.T) {
	path := filepath.Join(barren(t), "path")
	install(t, path, "valkey-server")
	if got, err := findRedis(); err != nil || got != filepath.Join(path, "valkey-server") {
		t.Errorf("alone: %s, %v", got, err)
	}
	install(t, path, "redis-server")
	if got, err := findRedis(); err != nil || got != filepath.Join(path, "redis-server") {
		t.Errorf("beside redis-server: %s, %v", got, err)
	}
}

func TestTheStateDirectoryIsMade(t *testing.T) {
	base := filepath.Join(t.TempDir(), "state")
	t.Setenv("XDG_STATE_HOME", base)
	dir, err := StateDir()
	if err != nil || dir != filepath.Join(base, "hoko-edge") {
		t.Fatal(dir, err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() || info.Mode().Perm()&0o066 != 0 {
		t.Error(info, err)
	}
	if again, err := StateDir(); err != nil || again != dir {
		t.Error(again, err)
	}
}

func TestARelativeStateHomeIsIgnored(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "relative")
	if base, err := stateBase(); err != nil || !filepath.IsAbs(base) {
		t.Error(base, err)
	}
}

func TestAClosedDirectoryOnTheWayIsNamed(t *testing.T) {
	closed := filepath.Join(tempDir(t), "closed")
	open := filepath.Join(closed, "open")
	for dir, mode := range map[string]os.FileMode{closed: 0o700, open: 0o755} {
		if err := os.MkdirAll(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	stranger := serverUser{name: "stranger", uid: 54321}
	if err := stranger.mayEnter(open); err == nil || !strings.Contains(err.Error(), "stranger") || !strings.Contains(err.Error(), closed+":") {
		t.Errorf("a stranger: %v", err)
	}
	owner := serverUser{name: "owner", uid: uint32(os.Geteuid())}
	if err := owner.mayEnter(closed); err != nil && strings.Contains(err.Error(), closed) {
		t.Errorf("the owner: %v", err)
	}
}
