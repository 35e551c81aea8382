package main

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

// versions are those of everything that was measured.
func (s *stage) versions(ctx context.Context) (string, error) {
	edge, err := edgeVersions(s.binary)
	if err != nil {
		return "", err
	}
	var postgres string
	if err := s.database.conn.QueryRow(ctx, "SHOW server_version").Scan(&postgres); err != nil {
		return "", err
	}
	server, err := redisInfo(ctx, s.redis.URL(), "server")
	if err != nil {
		return "", err
	}
	postgres, _, _ = strings.Cut(postgres, " ")
	all := append(edge, "Postgres and pgbench "+postgres, "Redis "+field([]byte(server), "redis_version"))
	if s.service != "" {
		service, err := s.serviceVersions(ctx)
		if err != nil {
			return "", err
		}
		all = append(all, service...)
	}
	return strings.Join(all, ", "), nil
}

// edgeVersions are in the binary.
func edgeVersions(binary string) ([]string, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read the edge's versions: %w", err)
	}
	all := []string{"Go " + strings.TrimPrefix(info.GoVersion, "go")}
	names := map[string]string{
		"github.com/caddyserver/caddy/v2": "Caddy", "github.com/jackc/pgx/v5": "pgx", "github.com/redis/go-redis/v9": "go-redis",
		"github.com/go-redis/redis_rate/v10": "redis_rate", "github.com/dgraph-io/ristretto/v2": "ristretto",
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

// serviceVersions are Node's and those of the service's own dependencies.
func (s *stage) serviceVersions(ctx context.Context) ([]string, error) {
	node, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return nil, err
	}
	all := []string{"Node.js " + strings.TrimPrefix(strings.TrimSpace(string(node)), "v")}
	var manifest struct{ Dependencies map[string]string }
	if err := readJSON(filepath.Join(s.service, "package.json"), &manifest); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(manifest.Dependencies)) {
		var installed struct{ Version string }
		if err := readJSON(filepath.Join(s.service, "node_modules", name, "package.json"), &installed); err != nil {
			return nil, err
		}
		all = append(all, name+" "+installed.Version)
	}
	return all, nil
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}

// settings are what differs from the defaults.
func (s *stage) settings() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(s.tuned)) {
		all = append(all, name+"="+s.tuned[name])
	}
	return "Postgres with " + strings.Join(all, ", ") + ", all else as it comes (fsync and synchronous_commit on); Redis without persistence; both by socket"
}
