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

// startPatience is how long a new edge may take to serve.
const startPatience = time.Minute

// maxSocketPath is the longest path of a socket on every platform (Linux 107, macOS 103 bytes).
const maxSocketPath = 103

// devOptions are the global options that development adds to the shipped Caddyfile. They touch
// nothing outside the state directory, open one port only, and show requests and warnings, without
// API keys and the colors that Caddy's console format writes to files, too.
const devOptions = `{
	admin %s
	persist_config off
	storage file_system %s
	# A cleaning at start can remove a certificate's directory that is just being written.
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
	# It warns that anybody may use the endpoint: those who may enter the state directory.
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

// shippedLog are the lines of the shipped Caddyfile that devOptions replaces.
const shippedLog = "\tlog {\n\t\tformat hoko\n\t}\n"

// devEdge is the shipped edge on one port of this machine.
type devEdge struct {
	dir   string // of all that it keeps
	port  int
	hosts []string // the loopback addresses that it listens on
}

func (e *devEdge) url() string { return "https://" + e.siteAddress() }
func (e *devEdge) caFile() string {
	return filepath.Join(e.storage(), "pki/authorities/local/root.crt")
}

func (e *devEdge) siteAddress() string { return net.JoinHostPort("localhost", strconv.Itoa(e.port)) }
func (e *devEdge) storage() string     { return filepath.Join(e.dir, "caddy") }

// adminSocket returns the path of the admin endpoint, or "" if it is too long for a socket.
func (e *devEdge) adminSocket() string {
	path := filepath.Join(e.dir, "admin.sock")
	if len(path) > maxSocketPath {
		return ""
	}
	return path
}

// caddyfile returns the shipped Caddyfile with the options of development.
func (e *devEdge) caddyfile() string {
	admin := "off"
	if socket := e.adminSocket(); socket != "" {
		admin = quoted("unix/" + socket)
	}
	options := fmt.Sprintf(devOptions, admin, quoted(e.storage()), e.port, strings.Join(e.hosts, " "))
	return strings.Replace(strings.Replace(moduleroot.Caddyfile, shippedLog, "", 1), "{\n", options, 1)
}

// quoted returns a text as one token of a Caddyfile.
func quoted(text string) string { return "`" + text + "`" }

// start makes Caddy run the edge, and returns when it serves.
func (e *devEdge) start(ctx context.Context, b *backing, upstream string) error {
	for name, value := range map[string]string{
		"DATABASE_URL": b.databaseURL,
		"REDIS_URL":    b.redisURL,
		"SITE_ADDRESS": e.url(),
		"UPSTREAM":     upstream,
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	// What Caddy logs before it has its log settings is buffered until then.
	_, log, _ := caddy.BufferedLog()
	defer caddy.UnbufferDefaultLogger(log)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(e.caddyfile()), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return fmt.Errorf("adapt the shipped Caddyfile: %w", err)
	}
	if err := caddy.Load(config, true); err != nil {
		return err
	}
	return e.awaitServing(ctx)
}

// stopEdge stops what start started, after all accepted sales are answered.
func stopEdge() {
	caddy.Stop()
	backend.DropExpiring()
}

// awaitServing returns when a client can complete a handshake: the edge listens before it has a
// certificate.
func (e *devEdge) awaitServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := e.shakeHands(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("the edge does not serve: %w", err)
		}
	}
}

// shakeHands completes a TLS handshake that trusts only the edge's own authority.
func (e *devEdge) shakeHands(ctx context.Context) error {
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

// freeLoopback returns this machine's loopback addresses, as a Caddyfile names them, or an error if
// the port is in use on one of them. Caddy would not notice: it shares a port with any other Caddy.
func freeLoopback(port int) (hosts []string, err error) {
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("--port must be 1 … 65535, not %d", port)
	}
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		switch err := tryPort(host + ":" + strconv.Itoa(port)); {
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

// tryPort opens a port, for HTTP/3 too, and closes it.
func tryPort(address string) error {
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
