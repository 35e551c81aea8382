package harness

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"hoko.to/edge/internal/testenv"
)

// Edge is a running edge.
type Edge struct {
	*Process
	Port     int    // of HTTPS on the loopback addresses, or of plain HTTP if Settings.Plain is true
	HTTPPort int    // of plain HTTP
	Host     string // the host name that it serves
	Admin    string // path of the admin endpoint's Unix socket
	Dir      string // its storage and configuration
	Log      *testenv.Log
	env      []string
	settings Settings
}

// Settings are the settings of an edge that differ from the shipped ones.
type Settings struct {
	DatabaseURL, RedisURL, Upstream string
	Host                            string              // of SITE_ADDRESS; default localhost
	Caddyfile                       string              // its path in the repository; default Caddyfile
	Plain                           bool                // serve plain HTTP on Port
	Edit                            func(string) string // changes the Caddyfile; nil leaves it as it is
	Env                             []string            // additional environment variables
}

// Start runs the Caddyfile on unused ports until the test ends, and returns when the edge is ready.
func Start(t testing.TB, s Settings) *Edge {
	t.Helper()
	e := launch(t, s)
	e.waitReady(t)
	return e
}

// launch is Start without waiting for the edge to be ready.
func launch(t testing.TB, s Settings) *Edge {
	t.Helper()
	e := &Edge{Host: cmp.Or(s.Host, "localhost"), Dir: testenv.ShortDir(t), settings: s}
	e.Port, e.HTTPPort = testenv.FreePort(t), testenv.FreePort(t)
	address := e.Host
	if s.Plain {
		address = fmt.Sprintf("http://%s:%d", e.Host, e.Port)
	}
	e.Admin = filepath.Join(e.Dir, "admin.sock")
	e.env = append(os.Environ(), "DATABASE_URL="+s.DatabaseURL, "REDIS_URL="+s.RedisURL, "UPSTREAM="+s.Upstream,
		"SITE_ADDRESS="+address, fmt.Sprint("PORT=", e.Port),
		"SHUTDOWN_DELAY=0", "HOME="+e.Dir, "XDG_DATA_HOME="+e.Dir, "XDG_CONFIG_HOME="+e.Dir)
	e.env = append(e.env, s.Env...)
	e.WriteCaddyfile(t, s.Edit)
	skipStorageCleaning(t, e.Dir)
	e.run(t)
	t.Cleanup(func() {
		e.Signal(syscall.SIGTERM)
		e.AwaitEnd(t)
		e.checkLog(t)
		if t.Failed() {
			t.Logf("log of the edge:\n%s", e.Log)
		}
	})
	return e
}

func (e *Edge) run(t testing.TB) {
	t.Helper()
	e.Log = new(testenv.Log)
	cmd := exec.Command(testenv.Edge(t), "run", "--config", e.CaddyfilePath())
	cmd.Env, cmd.Stdout, cmd.Stderr = e.env, e.Log, e.Log
	e.Process = StartProcess(t, cmd, e.Log)
}

// Restart waits for the edge to end, then starts it again.
func (e *Edge) Restart(t testing.TB) {
	t.Helper()
	e.AwaitEnd(t)
	e.checkLog(t)
	e.run(t)
	e.waitReady(t)
}

func (e *Edge) checkLog(t testing.TB) {
	if key := wholeKey.FindString(e.Log.String()); key != "" {
		t.Errorf("the log contains the key %s", key)
	}
}

var wholeKey = regexp.MustCompile(`hoko_[0-9A-Za-z]{43}`)

// waitReady returns when the edge completes a TLS handshake, or accepts a connection if it is
// plain. An edge listens before it has a certificate.
func (e *Edge) waitReady(t testing.TB) {
	t.Helper()
	var dialer interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	} = new(net.Dialer)
	if !e.settings.Plain {
		// Later requests verify the certificate.
		dialer = &tls.Dialer{Config: &tls.Config{ServerName: e.Host, InsecureSkipVerify: true}}
	}
	testenv.Until(t, "the edge is ready", func() bool {
		conn, err := dialer.DialContext(t.Context(), "tcp", e.Address())
		if err == nil {
			conn.Close()
			return true
		}
		select {
		case <-e.Ended:
			t.Fatalf("the edge ended before it was ready:\n%s", e.Log)
		default:
		}
		return false
	})
}

// Caddy runs a command of the binary with the edge's environment and returns its output.
func (e *Edge) Caddy(t testing.TB, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), HangGuard)
	defer cancel()
	cmd := exec.CommandContext(ctx, testenv.Edge(t), args...)
	cmd.Env = e.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Reload runs `caddy reload` for the edge's Caddyfile.
func (e *Edge) Reload(t testing.TB) {
	t.Helper()
	out, err := e.Caddy(t, "reload", "--config", e.CaddyfilePath(), "--address", "unix/"+e.Admin, "--force")
	if err != nil {
		t.Fatalf("reload: %v\n%s", err, out)
	}
	testenv.AwaitOneListener(t, e.Port)
}

// CAFile returns the path of the root certificate of the edge's certificate authority.
func (e *Edge) CAFile() string {
	return filepath.Join(e.Dir, "caddy", "pki", "authorities", "local", "root.crt")
}

// TLS returns a configuration that trusts only the edge's certificate authority.
func (e *Edge) TLS(t testing.TB) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(e.CAFile())
	testenv.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, ServerName: e.Host}
}

// Address returns the host and port of HTTPS, or of plain HTTP if Settings.Plain is true.
func (e *Edge) Address() string { return fmt.Sprintf("127.0.0.1:%d", e.Port) }

// URL returns the https URL of a path.
func (e *Edge) URL(path string) string { return fmt.Sprintf("https://localhost:%d%s", e.Port, path) }
