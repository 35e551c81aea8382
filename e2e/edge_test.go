package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hangGuard ends a test that waits for something that never comes. Nothing is asserted of it.
const hangGuard = 60 * time.Second

// edge is one running binary.
type edge struct {
	port  int    // of https, on every loopback address
	http  int    // of plain http
	site  string // the name that it serves
	admin string // path of the admin socket
	dir   string // its storage, configuration and logs
	log   *lineLog
	cmd   *exec.Cmd
	ended chan struct{}
	env   []string
}

// settings of an edge that differ from the shipped ones.
type settings struct {
	databaseURL, redisURL, upstream string
	site                            string              // SITE_ADDRESS; localhost
	edit                            func(string) string // changes the shipped Caddyfile
}

// start runs the shipped Caddyfile on ports of its own until the test ends.
func start(t testing.TB, s settings) *edge {
	t.Helper()
	e := &edge{port: freePort(t), http: freePort(t), dir: shortDir(t), log: newLineLog(), ended: make(chan struct{})}
	e.admin = filepath.Join(e.dir, "admin.sock")
	if e.site = s.site; e.site == "" {
		e.site = "localhost"
	}
	e.env = append(os.Environ(), "DATABASE_URL="+s.databaseURL, "REDIS_URL="+s.redisURL, "UPSTREAM="+s.upstream, "SITE_ADDRESS="+e.site,
		"HOME="+e.dir, "XDG_DATA_HOME="+e.dir, "XDG_CONFIG_HOME="+e.dir)
	e.writeCaddyfile(t, s.edit)
	keepCaddyFromCleaning(t, e.dir)

	e.cmd = exec.Command(binary, "run", "--config", e.caddyfile())
	e.cmd.Env, e.cmd.Stdout, e.cmd.Stderr = e.env, e.log, e.log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { e.cmd.Wait(); close(e.ended) }()
	t.Cleanup(func() {
		e.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-e.ended:
		case <-time.After(hangGuard):
			e.cmd.Process.Kill()
			<-e.ended
			t.Error("the edge did not stop on SIGTERM")
		}
		if t.Failed() {
			t.Logf("log of the edge:\n%s", e.log)
		}
	})
	e.waitReady(t)
	return e
}

func (e *edge) caddyfile() string { return filepath.Join(e.dir, "Caddyfile") }

// writeCaddyfile puts the shipped Caddyfile, on ports of the test's own and as edit changes it, where the edge reads it.
func (e *edge) writeCaddyfile(t testing.TB, edit func(string) string) {
	t.Helper()
	shipped, err := os.ReadFile("../Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf("{\n\thttp_port %d\n\thttps_port %d\n\tadmin unix/%s\n\tskip_install_trust\n\tlocal_certs\n\tpersist_config off\n", e.http, e.port, e.admin)
	config := strings.Replace(string(shipped), "{\n", head, 1)
	// A busy machine may take longer to answer than a Redis that is worth waiting for.
	config = strings.Replace(config, "redis {env.REDIS_URL}\n", "redis {env.REDIS_URL} {\n\t\t\ttimeout 10s\n\t\t}\n", 1)
	if edit != nil {
		changed := edit(config)
		if changed == config {
			t.Fatal("the edit changed nothing")
		}
		config = changed
	}
	if err := os.WriteFile(e.caddyfile(), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace is an edit that replaces one text of the Caddyfile.
func replace(from, to string) func(string) string {
	return func(config string) string { return strings.Replace(config, from, to, 1) }
}

// waitReady returns when the edge completes a TLS handshake: it listens before it has a certificate.
func (e *edge) waitReady(t testing.TB) {
	t.Helper()
	dialer := tls.Dialer{Config: &tls.Config{ServerName: e.site, InsecureSkipVerify: true}} // whose certificate it is, every later request checks
	guard, again := time.After(hangGuard), time.NewTicker(5*time.Millisecond)
	defer again.Stop()
	for {
		conn, err := dialer.DialContext(t.Context(), "tcp", e.address())
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-again.C:
		case <-e.ended:
			t.Fatalf("the edge ended before it was ready:\n%s", e.log)
		case <-guard:
			t.Fatalf("the edge is not ready, %v:\n%s", err, e.log)
		}
	}
}

// caddy runs a command of the binary against this edge.
func (e *edge) caddy(t testing.TB, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hangGuard)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = e.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// reload makes the edge read its Caddyfile again.
func (e *edge) reload(t testing.TB) {
	t.Helper()
	if out, err := e.caddy(t, "reload", "--config", e.caddyfile(), "--address", "unix/"+e.admin, "--force"); err != nil {
		t.Fatalf("reload: %v\n%s", err, out)
	}
}

// backend is what the admin endpoint says of one of the edge's backends.
type backend struct {
	Since time.Time
	Sales struct {
		SlowCustomers int `json:"slow_customers"`
	}
}

func (e *edge) backends(t testing.TB) []backend {
	t.Helper()
	var state struct{ Backends []backend }
	body := e.adminGet(t, "/hoko/")
	if err := json.Unmarshal(body, &state); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return state.Backends
}

func (e *edge) adminGet(t testing.TB, path string) []byte {
	t.Helper()
	client := http.Client{Timeout: hangGuard, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", e.admin)
		},
	}}
	res, err := client.Get("http://localhost" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// caFile is the root of the edge's own authority.
func (e *edge) caFile() string {
	return filepath.Join(e.dir, "caddy", "pki", "authorities", "local", "root.crt")
}

// tls trusts the edge's authority and no other.
func (e *edge) tls(t testing.TB) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(e.caFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, ServerName: e.site}
}

func (e *edge) address() string { return fmt.Sprintf("127.0.0.1:%d", e.port) }

func (e *edge) url(path string) string { return fmt.Sprintf("https://localhost:%d%s", e.port, path) }

// keepCaddyFromCleaning: a cleaning at start can remove a certificate's folder that is just being written.
func keepCaddyFromCleaning(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "caddy"), 0o700); err != nil {
		t.Fatal(err)
	}
	stamp, err := json.Marshal(map[string]any{"tls": map[string]any{"timestamp": time.Now()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "caddy", "last_clean.json"), stamp, 0o600); err != nil {
		t.Fatal(err)
	}
}

// shortDir: the path of a Unix socket holds about a hundred bytes.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hoko-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// lineLog keeps what a process prints and wakes those who wait for a text in it.
type lineLog struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newLineLog() *lineLog { return &lineLog{changed: make(chan struct{})} }

func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.text.Write(p)
}

func (l *lineLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait returns once the text has been printed.
func (l *lineLog) wait(t testing.TB, ended <-chan struct{}, text string) {
	t.Helper()
	l.waitLine(t, ended, text)
}

// waitLine returns once a line with all of the texts has been printed.
func (l *lineLog) waitLine(t testing.TB, ended <-chan struct{}, texts ...string) {
	t.Helper()
	guard := time.After(hangGuard)
	for {
		l.mu.Lock()
		found, changed := hasLine(l.text.String(), texts), l.changed
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-ended:
			t.Fatalf("the process ended before it printed %q:\n%s", texts, l)
		case <-guard:
			t.Fatalf("the process did not print %q:\n%s", texts, l)
		}
	}
}

func hasLine(log string, texts []string) bool {
	for line := range strings.Lines(log) {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			return true
		}
	}
	return false
}
