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

// startPatience bounds the time until a server answers.
const startPatience = time.Minute

// Edge is one running Caddy: an edge, or a stock one.
type Edge struct {
	*Child
	URL   string
	admin string // path of the socket
}

// Backing is what an edge's environment names.
type Backing struct{ DatabaseURL, RedisURL, Upstream string }

// Backing returns that of the stage's own servers and a site, if there is one.
func (s *Stage) Backing(site *Child) Backing {
	b := Backing{DatabaseURL: s.Database.DSN, RedisURL: s.redis.URL()}
	if site != nil {
		b.Upstream = site.Address
	}
	return b
}

// StartEdge runs a configuration and returns when it serves.
func (s *Stage) StartEdge(ctx context.Context, config Caddyfile, b Backing) (*Edge, error) {
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
		cmd.Env = append(os.Environ(), "DATABASE_URL="+b.DatabaseURL, "REDIS_URL="+b.RedisURL,
			"UPSTREAM="+cmp.Or(b.Upstream, "127.0.0.1:1"), // not asked then
			"SITE_ADDRESS="+e.URL, "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		if !config.hoko {
			cmd.Env = append(cmd.Env, "GOGC=100") // plain Caddy has Go's default
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
	if err := e.awaitServing(ctx, port); err != nil {
		// Once more for what it prints: its log went to /dev/null.
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		out, _ := command(ctx).CombinedOutput()
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	return e, nil
}

// awaitServing returns when a TLS handshake gets through.
func (e *Edge) awaitServing(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{ServerName: "localhost", InsecureSkipVerify: true}} // only whether it serves
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-again.C:
		case <-e.ended:
			return fmt.Errorf("%s ended before it served: %w", e.Name, e.err)
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve: %w", e.Name, err)
		}
	}
}

// Processes returns the edge and what it uses.
func (e *Edge) Processes(others ...measure.Process) []measure.Process {
	return append([]measure.Process{e.Process()}, others...)
}

// Admin returns what the admin endpoint answers.
func (e *Edge) Admin(ctx context.Context, path string) ([]byte, error) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", e.admin)
		},
	}}
	a, err := Ask(ctx, client, "http://localhost", load.Request{Method: "GET", Path: path}, http.StatusOK)
	return []byte(a.Body), err
}

// Heap returns what is live after a garbage collection, in bytes.
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
