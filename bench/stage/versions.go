package stage

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Versions returns the versions of everything measured, as one line.
func (s *Stage) Versions(ctx context.Context) (string, error) {
	all, err := edgeVersions(s.binary)
	if err != nil {
		return "", err
	}
	var postgres string
	if err := s.Database.conn.QueryRow(ctx, "SHOW server_version").Scan(&postgres); err != nil {
		return "", err
	}
	postgres, _, _ = strings.Cut(postgres, " ")
	redis := s.client.InfoMap(ctx, "server")
	if redis.Err() != nil {
		return "", redis.Err()
	}
	all = append(all, "Postgres and pgbench "+postgres, "Redis "+redis.Item("Server", "redis_version"))
	proxies, err := s.proxyVersions(ctx)
	if err != nil {
		return "", err
	}
	all = append(all, proxies...)
	if s.installed {
		service, err := s.serviceVersions(ctx)
		if err != nil {
			return "", err
		}
		all = append(all, service...)
	}
	return strings.Join(all, ", "), nil
}

// edgeVersions reads the build information of a binary.
func edgeVersions(binary string) ([]string, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read the edge's versions: %w", err)
	}
	all := []string{"Go " + strings.TrimPrefix(info.GoVersion, "go")}
	names := map[string]string{
		"github.com/caddyserver/caddy/v2": "Caddy", "github.com/jackc/pgx/v5": "pgx",
		"github.com/redis/go-redis/v9": "go-redis", "github.com/go-redis/redis_rate/v10": "redis_rate",
		"github.com/dgraph-io/ristretto/v2": "ristretto",
	}
	for _, d := range info.Deps {
		if name, ok := names[d.Path]; ok {
			all = append(all, name+" "+strings.TrimPrefix(d.Version, "v"))
		}
	}
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			all = append(all, "edge "+setting.Value[:min(12, len(setting.Value))])
		case setting.Key == "vcs.modified" && setting.Value == "true":
			all = append(all, "with changes")
		case setting.Key == "-pgo":
			all = append(all, "with PGO")
		}
	}
	return all, nil
}

// serviceVersions returns the version of Node.js and, from the lock file, of the direct
// dependencies.
func (s *Stage) serviceVersions(ctx context.Context) ([]string, error) {
	node, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return nil, err
	}
	all := []string{"Node.js " + strings.TrimPrefix(strings.TrimSpace(string(node)), "v")}
	text, err := os.ReadFile(filepath.Join(s.serviceDir(), "package-lock.json"))
	if err != nil {
		return nil, err
	}
	var lock struct {
		Packages map[string]struct {
			Version      string
			Dependencies map[string]string
		}
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		return nil, fmt.Errorf("read package-lock.json: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(lock.Packages[""].Dependencies)) {
		all = append(all, name+" "+lock.Packages["node_modules/"+name].Version)
	}
	return all, nil
}

// Settings describes the settings of Postgres and Redis, as one line.
func (s *Stage) Settings() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		all = append(all, name+"="+s.settings[name])
	}
	return "Postgres with " + strings.Join(all, ", ") +
		" and otherwise the defaults (fsync and synchronous_commit on); Redis without persistence; " +
		"both over Unix sockets"
}
