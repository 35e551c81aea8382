package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"hoko.to/edge/bench/measure"
)

// startPatience bounds the time until a server answers.
const startPatience = time.Minute

// edge is one running Caddy: an edge, or a stock one.
type edge struct {
	*child
	url   string
	admin string // path of the socket
}

// backing is what an edge's environment names.
type backing struct{ databaseURL, redisURL, upstream string }

func (s *stage) backing(site *child) backing {
	b := backing{databaseURL: s.database.dsn, redisURL: s.redis.URL()}
	if site != nil {
		b.upstream = site.address
	}
	return b
}

// startEdge runs a configuration and returns when it serves.
func (s *stage) startEdge(ctx context.Context, config caddyfile, b backing) (*edge, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s.started++
	dir := filepath.Join(s.dir, "edge"+strconv.Itoa(s.started))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(config.local(dir, port)), 0o600); err != nil {
		return nil, err
	}
	e := &edge{url: fmt.Sprintf("https://localhost:%d", port), admin: filepath.Join(dir, "admin.sock")}
	command := func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, s.binary, "run", "--config", file)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+b.databaseURL, "REDIS_URL="+b.redisURL, "UPSTREAM="+b.upstream, "SITE_ADDRESS="+e.url,
			"HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		return cmd
	}
	name := "Caddy"
	if config.hoko {
		name = "edge"
	}
	if e.child, err = s.spawn(name, command(context.Background())); err != nil {
		return nil, err
	}
	if err := e.awaitServing(ctx, port); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, sayings(ctx, command))
	}
	return e, nil
}

// sayings is what a Caddy prints that does not start: its log went to /dev/null.
func sayings(ctx context.Context, command func(context.Context) *exec.Cmd) string {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	out, _ := command(ctx).CombinedOutput()
	return string(out)
}

// awaitServing returns when a TLS handshake gets through.
func (e *edge) awaitServing(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{ServerName: "localhost", InsecureSkipVerify: true}} // only whether it serves
	return e.await(ctx, func() error {
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// await asks a child until it answers.
func (c *child) await(ctx context.Context, ask func() error) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-c.ended:
			return fmt.Errorf("%s ended before it served: %w", c.name, c.err)
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve: %w", c.name, err)
		}
	}
}

// processes are the edge and what it leans on.
func (e *edge) processes(others ...measure.Process) []measure.Process {
	return append([]measure.Process{e.process()}, others...)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
