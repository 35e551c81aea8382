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

// ErrNotInstalled is wrapped by the error of a start for which the machine lacks the server.
var ErrNotInstalled = errors.New("not installed on this machine: script/bootstrap installs it")

// postgresDirs is where packages put Postgres's server, which is seldom in PATH; several versions may stand side by side.
var postgresDirs = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/opt/homebrew/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/usr/local/pgsql/bin",
}

// redisDirs is where packages put Redis's server, should PATH be a short one.
var redisDirs = []string{"/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"}

// findPostgres is the directory of postgres and initdb: that in PATH, else that
// which pg_config names, else the newest where packages put it.
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
		if filepath.IsAbs(dir) && isExecutable(filepath.Join(dir, "initdb")) && isExecutable(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("the PostgreSQL server (initdb, postgres) is %w", ErrNotInstalled)
}

// findRedis is the path of redis-server, else of valkey-server.
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

// version finds the major version in a path such as /usr/lib/postgresql/15/bin.
var version = regexp.MustCompile(`(\d+)[^/]*/bin$`)

// newestFirst orders directories by the version in their path: 15 before 9.
func newestFirst(a, b string) int {
	number := func(path string) int {
		found := version.FindStringSubmatch(path)
		if found == nil {
			return 0
		}
		n, _ := strconv.Atoi(found[1]) // digits too many for a number are no version either
		return n
	}
	return cmp.Or(cmp.Compare(number(b), number(a)), cmp.Compare(a, b))
}
