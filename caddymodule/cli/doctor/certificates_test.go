package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"hoko.to/edge/internal/testenv"
)

const day = 24 * time.Hour

// writeCertificate writes a pair of files, and returns their paths.
func writeCertificate(t *testing.T, dir, name string, lifetime, left time.Duration) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.NoError(t, err)
	ends := time.Now().Add(left)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, NotBefore: ends.Add(-lifetime), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	testenv.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	testenv.NoError(t, err)
	testenv.NoError(t, os.MkdirAll(dir, 0o700))
	write := func(file, kind string, der []byte) {
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		testenv.NoError(t, os.WriteFile(file, text, 0o600))
	}
	safe := strings.ReplaceAll(name, "*", "wildcard_")
	certificate, key = filepath.Join(dir, safe+".crt"), filepath.Join(dir, safe+".key")
	write(certificate, "CERTIFICATE", der)
	write(key, "PRIVATE KEY", keyDER)
	return certificate, key
}

func checkCertificates(t *testing.T, caddyfile string) *checks {
	t.Helper()
	c := adapt(t, caddyfile)
	c.certificates(c.configuration())
	return c
}

func TestCertificates_OfFiles(t *testing.T) {
	_, otherKey := writeCertificate(t, t.TempDir(), "other.com", 90*day, 80*day)
	for _, tc := range []struct {
		name           string
		lifetime, left time.Duration
		edit           func(certificate, key string) error
		want           string
	}{
		{"valid", 90 * day, 15 * day, nil, "ok    certificates: CERT is valid until "},
		{"a short one is valid", 6 * day, 25 * time.Hour, nil, "ok    certificates: CERT is valid until "},
		{"ends soon", 365 * day, 13 * day, nil, "warn  certificates: CERT is valid only until "},
		{"a short one ends soon", 6 * day, 23 * time.Hour, nil, "warn  certificates: CERT is valid only until "},
		{"expired", 90 * day, -time.Hour, nil, "FAIL  certificates: CERT is expired since "},
		{"not valid yet", day, 2 * day, nil, "FAIL  certificates: CERT is not valid before "},
		{"another key", 90 * day, 80 * day, func(_, key string) error {
			return os.Rename(otherKey, key)
		}, "FAIL  certificates: CERT and KEY cannot be used: tls: private key does not match public key"},
		{"no file", 90 * day, 80 * day, func(certificate, _ string) error { return os.Remove(certificate) },
			"FAIL  certificates: CERT and KEY cannot be used: stat CERT: no such file"},
		{"no key", 90 * day, 80 * day, func(_, key string) error { return os.WriteFile(key, []byte("s3cret"), 0o600) },
			"FAIL  certificates: CERT and KEY cannot be used: tls: failed to find any PEM data in key input"},
		{"a FIFO", 90 * day, 80 * day, func(certificate, _ string) error {
			os.Remove(certificate)
			return syscall.Mkfifo(certificate, 0o600)
		}, "FAIL  certificates: CERT and KEY cannot be used: CERT is not a regular file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			certificate, key := writeCertificate(t, t.TempDir(), "example.com", tc.lifetime, tc.left)
			if tc.edit != nil {
				testenv.NoError(t, tc.edit(certificate, key))
			}
			t.Setenv("DOCTOR_KEY", key)
			c := checkCertificates(t, fmt.Sprintf(
				"{\nauto_https disable_certs\n}\nexample.com {\ntls %s {env.DOCTOR_KEY}\n}",
				certificate))
			wantFindings(t, c, strings.NewReplacer("CERT", certificate, "KEY", key).Replace(tc.want))
		})
	}
}

func TestCertificates_InStorage(t *testing.T) {
	root := t.TempDir()
	of := func(issuer, name string, lifetime, left time.Duration) {
		safe := strings.ReplaceAll(name, "*", "wildcard_")
		writeCertificate(t, filepath.Join(root, "certificates", issuer, safe), name, lifetime, left)
	}
	const acme, zero = "acme-v02.api.letsencrypt.org-directory", "acme.zerossl.com-v2-dv90"
	of(acme, "valid.com", 90*day, 40*day)
	of(acme, "moved.com", 90*day, -day)
	of(zero, "moved.com", 90*day, 30*day)
	of(acme, "late.com", 6*day, 20*time.Hour)
	of(acme, "window.com", 6*day, 40*time.Hour) // Caddy is about to renew it
	of(acme, "expired.com", 90*day, -time.Hour)
	of(acme, "*.wild.com", 90*day, 40*day)
	of("local", "localhost", 12*time.Hour, -day)
	storage := "storage file_system " + root
	for site, want := range map[string]string{
		"valid.com":           "ok    certificates: valid in ROOT: valid.com\n",
		"moved.com":           "ok    certificates: valid in ROOT: moved.com\n",
		"window.com":          "ok    certificates: valid in ROOT: window.com\n",
		"a.wild.com":          "ok    certificates: valid in ROOT: a.wild.com\n",
		"late.com":            "warn  certificates: late.com's in ROOT is valid only until ",
		"expired.com":         "FAIL  certificates: expired.com's in ROOT is expired since ",
		"localhost":           "warn  certificates: localhost's, of Caddy's own authority, is expired since ",
		"new.com, https://no": "ok    certificates: none yet in ROOT: new.com, no; the edge obtains them when it",
		"http://plain.com":    "ok    certificates: Caddy manages none",
		":8443":               "ok    certificates: Caddy manages none",
	} {
		t.Run(site, func(t *testing.T) {
			c := checkCertificates(t, "{\n"+storage+"\n}\n"+site+" {\nrespond hello\n}")
			wantFindings(t, c, strings.ReplaceAll(want, "ROOT", root))
		})
	}
	t.Run("on demand", func(t *testing.T) {
		c := checkCertificates(t, "https:// {\ntls {\non_demand\n}\n}")
		wantFindings(t, c, "ok    certificates: those that Caddy obtains on demand are not checked")
		if c.Findings[len(c.Findings)-1].Text == "Caddy manages none" {
			t.Error("it also says that Caddy manages none")
		}
	})
	t.Run("default storage", func(t *testing.T) {
		t.Setenv("XDG_DATA_HOME", t.TempDir())
		wantFindings(t, checkCertificates(t, "valid.com"), "none yet in "+caddy.AppDataDir()+": valid.com;")
	})
	t.Run("other storage", func(t *testing.T) {
		c := adapt(t, "valid.com")
		c.Config.Storage = []byte(`{"module": "consul"}`)
		c.certificates(c.configuration())
		wantFindings(t, c, "ok    certificates: those that Caddy keeps in the storage consul are not checked")
	})
	t.Run("a file is loaded for the site", func(t *testing.T) {
		certificate, key := writeCertificate(t, t.TempDir(), "expired.com", 90*day, 80*day)
		c := checkCertificates(t, fmt.Sprintf("{\n%s\n}\nexpired.com {\ntls %s %s\n}", storage, certificate, key))
		wantFindings(t, c, "ok    certificates: "+certificate+" is valid until ",
			"ok    certificates: Caddy manages none")
	})
	t.Run("damaged", func(t *testing.T) {
		file := filepath.Join(root, "certificates", acme, "valid.com", "valid.com.crt")
		testenv.NoError(t, os.WriteFile(file, []byte("s3cret"), 0o600))
		wantFindings(t, checkCertificates(t, "{\n"+storage+"\n}\nvalid.com"), "none yet in "+root+": valid.com;")
	})
}
