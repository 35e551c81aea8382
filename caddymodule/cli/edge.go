package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	moduleroot "hoko.to/edge"
	"hoko.to/edge/caddymodule/backend"
)

// startTimeout is how long a new edge may take to serve.
const startTimeout = time.Minute

// maxSocketPath is the longest path of a socket on all platforms, in bytes (Linux 107, macOS 103).
const maxSocketPath = 103

// devOptions are the global options that development adds to the shipped Caddyfile. They keep all
// files in the state directory, open one port, and log requests and warnings without API keys.
// level_format upper turns off colors, which the console format would write to files as well.
const devOptions = `{
	admin %s
	persist_config off
	storage file_system %s
	# Cleaning at start can remove the directory of a certificate that is being written.
	storage_clean_interval off
	https_port %d
	default_bind %s
	auto_https disable_redirects
	local_certs
	skip_install_trust
	log {
		output stderr
		format console {
			level_format upper
		}
		level WARN
		exclude http.log.access admin
	}
	# The endpoint warns that it is open, but only users of the state directory reach it.
	log admin {
		output stderr
		format console {
			level_format upper
		}
		level ERROR
		include admin
	}
	log requests {
		output stderr
		format filter {
			request>uri regexp hoko_(\w{4})\w{12,} hoko_$1***
			request>remote_ip delete
			request>remote_port delete
			request>client_ip delete
			request>host delete
			request>headers delete
			request>tls delete
			resp_headers delete
			wrap console {
				level_format upper
			}
		}
		include http.log.access
	}
`

// shippedLog is the part of the shipped Caddyfile that devOptions replaces.
const shippedLog = "\tlog {\n\t\tformat hoko\n\t}\n"

// devEdge is an edge that runs the shipped Caddyfile on a loopback port.
type devEdge struct {
	dir   string // the state directory
	port  int
	hosts []string // loopback addresses to listen on
}

func (e *devEdge) url() string { return "https://" + e.siteAddress() }
func (e *devEdge) caFile() string {
	return filepath.Join(e.storage(), "pki/authorities/local/root.crt")
}

func (e *devEdge) siteAddress() string { return net.JoinHostPort("localhost", strconv.Itoa(e.port)) }
func (e *devEdge) storage() string     { return filepath.Join(e.dir, "caddy") }

// adminSocket returns the path of the admin endpoint, or an empty string if it would be too long.
func (e *devEdge) adminSocket() string {
	path := filepath.Join(e.dir, "admin.sock")
	if len(path) > maxSocketPath {
		return ""
	}
	return path
}

// caddyfile returns the shipped Caddyfile with devOptions.
func (e *devEdge) caddyfile() string {
	admin := "off"
	if socket := e.adminSocket(); socket != "" {
		admin = quote("unix/" + socket)
	}
	options := fmt.Sprintf(devOptions, admin, quote(e.storage()), e.port, strings.Join(e.hosts, " "))
	return strings.Replace(strings.Replace(moduleroot.Caddyfile, shippedLog, "", 1), "{\n", options, 1)
}

// quote returns text as one token of a Caddyfile.
func quote(text string) string { return "`" + text + "`" }

// start runs Caddy in this process and returns when the edge serves.
func (e *devEdge) start(ctx context.Context, s *servers, upstream string) error {
	for name, value := range map[string]string{
		"DATABASE_URL": s.databaseURL,
		"REDIS_URL":    s.redisURL,
		"SITE_ADDRESS": e.url(),
		"UPSTREAM":     upstream,
		// No balancer needs time to notice that development stops.
		"SHUTDOWN_DELAY": "0",
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	// Caddy's log is buffered until its log settings apply.
	_, log, _ := caddy.BufferedLog()
	defer caddy.UnbufferDefaultLogger(log)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(e.caddyfile()),
		map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return fmt.Errorf("adapt the shipped Caddyfile: %w", err)
	}
	if err := caddy.Load(config, true); err != nil {
		return err
	}
	return e.awaitServing(ctx)
}

// stopEdge stops Caddy after all accepted sales have been answered.
func stopEdge() {
	caddy.Stop()
	backend.DropExpiring()
}

// awaitServing waits until a client can complete a TLS handshake: the edge listens before it has a
// certificate.
func (e *devEdge) awaitServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := e.handshake(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("the edge does not complete a TLS handshake: %w", err)
		}
	}
}

// handshake completes a TLS handshake, trusting only the edge's certificate authority.
func (e *devEdge) handshake(ctx context.Context) error {
	root, err := os.ReadFile(e.caFile())
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: pool}}
	conn, err := dialer.DialContext(ctx, "tcp", e.siteAddress())
	if err != nil {
		return err
	}
	return conn.Close()
}

// freeLoopback returns this machine's loopback addresses in the form of a Caddyfile, or an error if
// the port is in use on one of them. Caddy itself would share the port with another Caddy.
func freeLoopback(port int) (hosts []string, err error) {
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("--port must be 1 to 65535, not %d", port)
	}
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		switch err := checkFree(host + ":" + strconv.Itoa(port)); {
		case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
			continue
		case errors.Is(err, syscall.EADDRINUSE):
			return nil, fmt.Errorf("port %d is in use: choose another one with --port", port)
		case err != nil:
			return nil, fmt.Errorf("%w: choose another port with --port", err)
		}
		hosts = append(hosts, host)
	}
	if len(hosts) == 0 {
		return nil, errors.New("this machine has no loopback address")
	}
	return hosts, nil
}

// checkFree returns an error unless the address is free for TCP and, for HTTP/3, for UDP.
func checkFree(address string) error {
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	return udp.Close()
}
