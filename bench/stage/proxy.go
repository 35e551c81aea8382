package stage

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Proxy is a reverse proxy that an operator could use instead of the edge, with a configuration in
// peers.Files and a file of keys.
type Proxy struct {
	*Child
	URL string
}

// proxyKind is what differs between the proxies.
type proxyKind struct {
	name, config string
	program      string
	args         []string // before the path of the configuration
	key          string   // the form of a line of keys.map for a key and its name
	version      string   // what precedes the version in the output of program -v
}

var (
	haproxy = proxyKind{
		name: "HAProxy", config: "haproxy/haproxy.cfg", program: "haproxy", args: []string{"-db", "-f"},
		key: "%s %s\n", version: "HAProxy version ",
	}
	nginx = proxyKind{
		name: "nginx", config: "nginx/nginx.conf", program: "nginx", args: []string{"-e", "stderr", "-c"},
		key: "\"Bearer %s\" %s;\n", version: "nginx version: nginx/",
	}
)

// StartHAProxy starts HAProxy before a site, with the given keys.
func (s *Stage) StartHAProxy(ctx context.Context, site *Child, keys []string) (*Proxy, error) {
	return s.startProxy(ctx, haproxy, site, keys)
}

// StartNginx starts nginx before a site, with the given keys.
func (s *Stage) StartNginx(ctx context.Context, site *Child, keys []string) (*Proxy, error) {
	return s.startProxy(ctx, nginx, site, keys)
}

func (s *Stage) startProxy(ctx context.Context, kind proxyKind, site *Child, keys []string) (*Proxy, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := s.TempDir(kind.name)
	if err != nil {
		return nil, err
	}
	config, err := os.ReadFile(filepath.Join(s.Peers, kind.config))
	if err != nil {
		return nil, err
	}
	certificate, err := newCertificate()
	if err != nil {
		return nil, err
	}
	var lines strings.Builder
	for i, key := range keys {
		fmt.Fprintf(&lines, kind.key, key, "key_"+strconv.Itoa(i))
	}
	fill := strings.NewReplacer("{dir}", dir, "{port}", strconv.Itoa(port), "{site}", site.Address)
	file := filepath.Join(dir, filepath.Base(kind.config))
	for path, text := range map[string]string{
		file: fill.Replace(string(config)), filepath.Join(dir, "tls.pem"): certificate,
		filepath.Join(dir, "keys.map"): lines.String(),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	executable, err := findDaemon(kind.program)
	if err != nil {
		return nil, err
	}
	command := func(ctx context.Context) *exec.Cmd {
		return exec.CommandContext(ctx, executable, append(slices.Clone(kind.args), file)...)
	}
	p := &Proxy{URL: fmt.Sprintf("https://localhost:%d", port)}
	if p.Child, err = s.spawn(kind.name, command(context.Background())); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(s.proxies, func(k proxyKind) bool { return k.name == kind.name }) {
		s.proxies = append(s.proxies, kind)
	}
	return p, p.awaitTLS(ctx, port, command)
}

// proxyVersions returns the versions of the proxies that have been started.
func (s *Stage) proxyVersions(ctx context.Context) (all []string, err error) {
	for _, kind := range s.proxies {
		executable, err := findDaemon(kind.program)
		if err != nil {
			return nil, err
		}
		out, err := exec.CommandContext(ctx, executable, "-v").CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%s -v: %w", kind.program, err)
		}
		_, version, _ := strings.Cut(string(out), kind.version)
		version, _, _ = strings.Cut(strings.TrimSpace(version), " ")
		all = append(all, kind.name+" "+version)
	}
	return all, nil
}

// findDaemon returns the path of a program that Debian installs in /usr/sbin, which may not be in
// PATH.
func findDaemon(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err2 := exec.LookPath("/usr/sbin/" + name); err2 == nil {
			return path, nil
		}
	}
	return path, err
}

// newCertificate returns a certificate for localhost and its key in PEM, of the kind that Caddy's
// local CA issues.
func newCertificate() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return block("CERTIFICATE", certificate) + block("PRIVATE KEY", private), nil
}
