package stage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

func (s *Stage) serviceDir() string { return filepath.Join(s.Peers, "fastify") }

// StartService starts the Fastify service with a number of worker processes and returns when it
// listens. Like the edge's, its access log goes to /dev/null.
func (s *Stage) StartService(ctx context.Context, workers int) (*Child, error) {
	if err := s.installService(ctx); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("node", "index.js")
	cmd.Dir = s.serviceDir()
	cmd.Env = append(os.Environ(), "DATABASE_URL="+s.Database.DSN, "REDIS_URL="+s.redis.URL(), "LOG="+os.DevNull,
		"WORKERS="+strconv.Itoa(workers), "HOST=127.0.0.1", "PORT="+strconv.Itoa(port), "NODE_ENV=production")
	c, err := s.spawnServer(ctx, "service", cmd)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(c.Address, "listening") {
		return nil, fmt.Errorf("the service does not listen: it printed %q", c.Address)
	}
	c.Address = fmt.Sprintf("127.0.0.1:%d", port)
	return c, nil
}

// installService installs the dependencies in the lock file, unless it has done so before.
func (s *Stage) installService(ctx context.Context) error {
	if s.installed {
		return nil
	}
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = s.serviceDir()
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	s.installed = true
	return nil
}
