package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// installService puts a copy of bench/peers/fastify, with the dependencies of its lock file, into the stage.
func (s *stage) installService(ctx context.Context) error {
	if s.service != "" {
		return nil
	}
	dir := filepath.Join(s.dir, "service")
	if err := copySources(dir, filepath.Join(s.root, "bench", "peers", "fastify")); err != nil {
		return err
	}
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	s.service = dir
	return nil
}

// copySources copies a directory's files, but none of its directories.
func copySources(to, from string) error {
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.Type().IsRegular() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, entry.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, entry.Name()), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// startService starts that service and returns when it listens. Like the edge, it logs its requests to /dev/null.
func (s *stage) startService(ctx context.Context, workers int) (*child, error) {
	if err := s.installService(ctx); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("node", "index.js")
	cmd.Dir = s.service
	cmd.Env = append(os.Environ(), "DATABASE_URL="+s.database.dsn, "REDIS_URL="+s.redis.URL(), "LOG="+os.DevNull,
		"WORKERS="+strconv.Itoa(workers), "HOST=127.0.0.1", "PORT="+strconv.Itoa(port), "NODE_ENV=production")
	c, err := s.spawnServer(ctx, "service", cmd)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(c.address, "listening") {
		return nil, fmt.Errorf("the service said %q", c.address)
	}
	c.address = fmt.Sprintf("127.0.0.1:%d", port)
	return c, nil
}
