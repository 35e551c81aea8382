package devserver

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ErrNotInstalled is wrapped by errors of StartPostgres and StartRedis if the server is missing.
var ErrNotInstalled = errors.New("not installed on this machine: script/bootstrap installs it")

// postgresDirs are where packages install the server of Postgres, usually outside PATH and possibly
// in several versions.
var postgresDirs = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/opt/homebrew/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/usr/local/pgsql/bin",
}

// redisDirs are where packages install the server of Redis. PATH may lack these directories.
var redisDirs = []string{"/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"}

// findPostgres returns the directory of postgres and initdb. It searches PATH, the directory that
// pg_config prints, and postgresDirs, newest version first.
func findPostgres() (string, error) {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range postgresDirs {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		slices.SortFunc(matches, newestFirst)
		dirs = append(dirs, matches...)
	}
	for _, dir := range dirs {
		initdb, postgres := filepath.Join(dir, "initdb"), filepath.Join(dir, "postgres")
		if filepath.IsAbs(dir) && isExecutable(initdb) && isExecutable(postgres) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("the PostgreSQL server (initdb, postgres) is %w", ErrNotInstalled)
}

// findRedis returns the path of redis-server, or else of valkey-server.
func findRedis() (string, error) {
	dirs := append(filepath.SplitList(os.Getenv("PATH")), redisDirs...)
	for _, name := range []string{"redis-server", "valkey-server"} {
		for _, dir := range dirs {
			if path := filepath.Join(dir, name); filepath.IsAbs(dir) && isExecutable(path) {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("redis-server (or valkey-server) is %w", ErrNotInstalled)
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// version matches the major version in a path such as /usr/lib/postgresql/15/bin.
var version = regexp.MustCompile(`(\d+)[^/]*/bin$`)

// newestFirst orders directories by the version in their path: 15 before 9.
func newestFirst(a, b string) int {
	number := func(path string) int {
		found := version.FindStringSubmatch(path)
		if found == nil {
			return 0
		}
		n, _ := strconv.Atoi(found[1]) // 0 on overflow, as without a version
		return n
	}
	return cmp.Or(cmp.Compare(number(b), number(a)), cmp.Compare(a, b))
}
