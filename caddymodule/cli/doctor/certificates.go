package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
)

const (
	aboutCertificates = "certificates"
	filesFix          = "replace the certificate and its key, and reload the edge"
	readFix           = "run the doctor as the edge's user, in its working directory"
)

// certificates checks the certificates that the configuration names, and those that Caddy manages.
func (c *checks) certificates(http *caddyhttp.App, app *caddytls.TLS) {
	loaders := app.CertificatesRaw
	var pairs []caddytls.CertKeyFilePair
	var subjects []string // to manage
	for name, to := range map[string]any{"load_files": &pairs, "automate": &subjects} {
		if loaders[name] == nil {
			continue
		}
		if err := json.Unmarshal(loaders[name], to); err != nil {
			c.failConfig(fmt.Errorf("certificates: %w", err), "correct the file; see caddy validate")
		}
	}
	var loaded []*x509.Certificate
	for _, pair := range pairs {
		if leaf := c.certificateFiles(pair); leaf != nil {
			loaded = append(loaded, leaf)
		}
	}
	for _, name := range []string{"load_folders", "load_pem", "load_storage"} {
		if loaders[name] != nil {
			c.ok(aboutCertificates, "the certificates of %s are not checked", name)
		}
	}
	subjects = append(subjects, managedSubjects(http, loaded)...)
	slices.Sort(subjects)
	c.managedCertificates(slices.Compact(subjects), app)
}

// certificateFiles checks a pair of files. It returns nil if there is no certificate.
func (c *checks) certificateFiles(pair caddytls.CertKeyFilePair) *x509.Certificate {
	names := caddy.NewReplacer()
	certificate, key := names.ReplaceKnown(pair.Certificate, ""), names.ReplaceKnown(pair.Key, "")
	leaf, err := readPair(certificate, key)
	switch {
	case errors.Is(err, fs.ErrPermission):
		c.warn(aboutCertificates, fmt.Sprintf("%v: not checked", err), readFix)
	case err != nil:
		c.fail(aboutCertificates, fmt.Errorf("%s and %s cannot be used: %w", certificate, key, err),
			filesFix+"; a relative path is relative to the edge's working directory")
	default:
		if text, severity := validity(leaf, time.Now()); severity == OK {
			c.ok(aboutCertificates, "%s is %s", certificate, text)
		} else {
			c.add(Finding{severity, aboutCertificates, certificate + " is " + text, filesFix})
		}
	}
	return leaf
}

// readPair returns the first certificate of a file, if the key is its own. Errors quote no content.
func readPair(certificate, key string) (*x509.Certificate, error) {
	certPEM, err := readSmall(certificate)
	if err != nil {
		return nil, err
	}
	keyPEM, err := readSmall(key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	return pair.Leaf, nil
}

// maxPEM is the maximum size of a file with certificates or a key.
const maxPEM = 1 << 20

// readSmall reads a regular file. Others, such as a FIFO, could block.
func readSmall(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxPEM {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", name, maxPEM)
	}
	return os.ReadFile(name)
}

// validity says how long a certificate is valid. Caddy renews in the last third of its lifetime, so
// it has been failing to if half of that is over: 15 of 90 days, or 26 hours of 6 days.
func validity(leaf *x509.Certificate, now time.Time) (text string, severity Severity) {
	left := leaf.NotAfter.Sub(now)
	ends := leaf.NotAfter.UTC().Format(time.RFC3339)
	switch {
	case left <= 0:
		return "expired since " + ends, Failure
	case leaf.NotBefore.After(now):
		return "not valid before " + leaf.NotBefore.UTC().Format(time.RFC3339), Failure
	case left < min(14*24*time.Hour, leaf.NotAfter.Sub(leaf.NotBefore)/6):
		return "valid only until " + ends, Warning
	}
	return "valid until " + ends, OK
}
