package devserver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// install creates empty executables in a directory.
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

// withoutPackages hides the machine's servers from the test and returns a root for others.
func withoutPackages(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	t.Setenv("PATH", filepath.Join(root, "path"))
	postgres, redis := postgresDirs, redisDirs
	t.Cleanup(func() { postgresDirs, redisDirs = postgres, redis })
	postgresDirs, redisDirs = []string{filepath.Join(root, "postgresql/*/bin")}, nil
	return root
}

func TestStart_NotInstalled(t *testing.T) {
	root := withoutPackages(t)
	install(t, filepath.Join(root, "path"), "postgres") // without initdb
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: root})
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "initdb") {
		t.Errorf("postgres: %v", err)
	}
	_, err = StartRedis(t.Context(), RedisOptions{Dir: root})
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "redis-server") {
		t.Errorf("redis: %v", err)
	}
}

func TestFindPostgres_PrefersPATHThenNewest(t *testing.T) {
	root := withoutPackages(t)
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

func TestFindRedis_Valkey(t *testing.T) {
	path := filepath.Join(withoutPackages(t), "path")
	install(t, path, "valkey-server")
	if got, err := findRedis(); err != nil || got != filepath.Join(path, "valkey-server") {
		t.Errorf("alone: %s, %v", got, err)
	}
	install(t, path, "redis-server")
	if got, err := findRedis(); err != nil || got != filepath.Join(path, "redis-server") {
		t.Errorf("beside redis-server: %s, %v", got, err)
	}
}

func TestStateDir_IsCreated(t *testing.T) {
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

func TestStateBase_IgnoresRelativePaths(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "relative")
	if base, err := stateBase(); err != nil || !filepath.IsAbs(base) {
		t.Error(base, err)
	}
}

func TestCheckAccess_NamesTheClosedDirectory(t *testing.T) {
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
	other := serverUser{name: "other", uid: 54321}
	err := other.checkAccess(open)
	if err == nil || !strings.Contains(err.Error(), "user other") || !strings.Contains(err.Error(), closed+":") {
		t.Errorf("another user: %v", err)
	}
	owner := serverUser{name: "owner", uid: uint32(os.Geteuid())}
	if err := owner.checkAccess(closed); err != nil && strings.Contains(err.Error(), closed) {
		t.Errorf("the owner: %v", err)
	}
}
