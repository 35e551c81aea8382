package stage

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/measure"
)

// Edge is a running Caddy: an edge, or a stock Caddy.
type Edge struct {
	*Child
	URL   string
	admin string // path of the admin socket
}

// Env holds the environment variables of a Caddyfile.
type Env struct{ DatabaseURL, RedisURL, Upstream string }

// Env returns an environment with the servers of the stage and, unless it is nil, a site.
func (s *Stage) Env(site *Child) Env {
	env := Env{DatabaseURL: s.Database.DSN, RedisURL: s.redis.URL()}
	if site != nil {
		env.Upstream = site.Address
	}
	return env
}

// StartEdge starts Caddy with a configuration and returns when it accepts TLS connections. If it
// does not start, the error contains its output.
func (s *Stage) StartEdge(ctx context.Context, config Caddyfile, env Env) (*Edge, error) {
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
	e := &Edge{URL: fmt.Sprintf("https://localhost:%d", port), admin: filepath.Join(dir, "admin.sock")}
	command := func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, s.binary, "run", "--config", file)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+env.DatabaseURL, "REDIS_URL="+env.RedisURL,
			"UPSTREAM="+cmp.Or(env.Upstream, "127.0.0.1:1"), // no request is proxied if it is empty
			"SITE_ADDRESS="+e.URL, "SHUTDOWN_DELAY=0", "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		if !config.hoko {
			cmd.Env = append(cmd.Env, "GOGC=100") // the default, which cmd/caddy changes
		}
		return cmd
	}
	name := "Caddy"
	if config.hoko {
		name = "edge"
	}
	if e.Child, err = s.spawn(name, command(context.Background())); err != nil {
		return nil, err
	}
	return e, e.awaitTLS(ctx, port, command)
}

// awaitTLS returns when the child accepts TLS connections. If it does not, the error contains the
// output of command, which starts it again.
func (c *Child) awaitTLS(ctx context.Context, port int, command func(context.Context) *exec.Cmd) error {
	err := c.await(ctx, port)
	if err == nil {
		return nil
	}
	// The first output may have gone to /dev/null.
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	out, _ := command(ctx).CombinedOutput()
	return fmt.Errorf("%w\n%s", err, out)
}

// await returns when a TLS handshake succeeds, or an error after a minute.
func (c *Child) await(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{ServerName: "localhost", InsecureSkipVerify: true}}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ticker.C:
		case <-c.ended:
			return fmt.Errorf("%s ended before it accepted connections: %w", c.Name, c.err)
		case <-ctx.Done():
			return fmt.Errorf("%s does not accept connections: %w", c.Name, err)
		}
	}
}

// Processes returns the edge and the given processes for measure.Snapshot.
func (e *Edge) Processes(others ...measure.Process) []measure.Process {
	return append([]measure.Process{e.Process()}, others...)
}

// Admin returns the response of the admin endpoint to a GET request.
func (e *Edge) Admin(ctx context.Context, path string) ([]byte, error) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", e.admin)
		},
	}}
	r, err := Send(ctx, client, "http://localhost", load.Request{Method: "GET", Path: path}, http.StatusOK)
	return []byte(r.Body), err
}

// Heap returns the live heap after a garbage collection, in bytes.
func (e *Edge) Heap(ctx context.Context) (int64, error) {
	profile, err := e.Admin(ctx, "/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(measure.Field(profile, "# HeapAlloc", "="), 10, 64)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
