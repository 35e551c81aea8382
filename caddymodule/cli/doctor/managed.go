package doctor

import (
	"cmp"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"
)

// managedSubjects returns the names and addresses for which automatic HTTPS obtains certificates:
// the hosts of each server that is not on the HTTP port only, except those of loaded certificates.
func managedSubjects(app *caddyhttp.App, loaded []*x509.Certificate) (subjects []string) {
	names := caddy.NewReplacer()
	for _, server := range app.Servers {
		auto := cmp.Or(server.AutoHTTPS, new(caddyhttp.AutoHTTPSConfig))
		if auto.Disabled || auto.DisableCerts || onlyHTTP(server, cmp.Or(app.HTTPPort, caddyhttp.DefaultHTTPPort)) {
			continue
		}
		for _, host := range hostsOf(server) {
			host = names.ReplaceKnown(host, "")
			isLoaded := !auto.IgnoreLoadedCerts && slices.ContainsFunc(loaded,
				func(leaf *x509.Certificate) bool { return leaf.VerifyHostname(host) == nil })
			if !isLoaded && certmagic.SubjectQualifiesForCert(host) &&
				!slices.Contains(auto.Skip, host) && !slices.Contains(auto.SkipCerts, host) {
				subjects = append(subjects, host)
			}
		}
	}
	return subjects
}

// onlyHTTP reports whether a server listens on the HTTP port only.
func onlyHTTP(server *caddyhttp.Server, httpPort int) bool {
	return !slices.ContainsFunc(server.Listen, func(listen string) bool {
		address, err := caddy.ParseNetworkAddress(listen)
		return err != nil || address.StartPort != uint(httpPort) || address.EndPort != uint(httpPort)
	})
}

// hostsOf returns the hosts of a server's routes.
func hostsOf(server *caddyhttp.Server) (hosts []string) {
	for _, route := range server.Routes {
		for _, matchers := range route.MatcherSetsRaw {
			var match []string
			if json.Unmarshal(matchers["host"], &match) == nil {
				hosts = append(hosts, match...)
			}
		}
	}
	return hosts
}

// managedCertificates checks the certificates in Caddy's storage, if that is a directory.
func (c *checks) managedCertificates(subjects []string, app *caddytls.TLS) {
	onDemand := app.Automation != nil && slices.ContainsFunc(app.Automation.Policies,
		func(p *caddytls.AutomationPolicy) bool { return p != nil && p.OnDemand })
	if onDemand {
		c.ok(aboutCertificates, "those that Caddy obtains on demand are not checked")
	}
	if len(subjects) == 0 {
		if !onDemand {
			c.ok(aboutCertificates, "Caddy manages none")
		}
		return
	}
	root, module := c.storage(app)
	if module != "file_system" {
		c.ok(aboutCertificates, "those that Caddy keeps in the storage %s are not checked", module)
		return
	}
	issuers, err := os.ReadDir(filepath.Join(root, "certificates"))
	if errors.Is(err, fs.ErrPermission) {
		c.ok(aboutCertificates, "those in %s are not checked, because this user may not read them: %s", root, readFix)
		return
	}
	var valid, missing []string
	for _, subject := range subjects {
		found, issuer := newestCertificate(root, issuers, subject)
		if found == nil {
			missing = append(missing, subject)
			continue
		}
		text, severity := validity(found, time.Now())
		switch {
		case severity == OK:
			valid = append(valid, subject)
		case issuer == "local" && severity == Failure:
			c.warn(aboutCertificates, subject+"'s, of Caddy's own authority, is "+text,
				"start the edge, which renews it immediately")
		default:
			c.add(Finding{severity, aboutCertificates, fmt.Sprintf("%s's in %s is %s", subject, root, text),
				"find out why the edge does not renew it: look for tls.renew in its log"})
		}
	}
	if len(valid) > 0 {
		c.ok(aboutCertificates, "valid in %s: %s", root, joinSome(valid))
	}
	if len(missing) > 0 {
		c.ok(aboutCertificates, "none yet in %s: %s; the edge obtains them when it starts; if it serves them already, "+
			"its storage is another user's: %s", root, joinSome(missing), readFix)
	}
}

// storage returns the directory of Caddy's storage, and the name of its module.
func (c *checks) storage(app *caddytls.TLS) (root, module string) {
	raw := c.Config.Storage
	if app.Automation != nil {
		for _, policy := range app.Automation.Policies {
			if policy != nil && policy.StorageRaw != nil {
				return "", "of an automation policy"
			}
		}
	}
	if raw == nil {
		return caddy.AppDataDir(), "file_system"
	}
	var storage struct {
		Module string `json:"module"`
		Root   string `json:"root"`
	}
	if json.Unmarshal(raw, &storage) != nil || storage.Module == "" {
		return "", "of the configuration"
	}
	return cmp.Or(storage.Root, caddy.AppDataDir()), storage.Module
}

// newestCertificate returns the certificate of a subject, or of its wildcard, that is valid
// longest, and who has issued it.
func newestCertificate(root string, issuers []fs.DirEntry, subject string) (newest *x509.Certificate, issuer string) {
	names := []string{subject}
	if _, parent, ok := strings.Cut(subject, "."); ok {
		names = append(names, "*."+parent)
	}
	for _, dir := range issuers {
		for _, name := range names {
			file := filepath.Join(root, filepath.FromSlash(certmagic.StorageKeys.SiteCert(dir.Name(), name)))
			leaf := readCertificate(file)
			if leaf != nil && (newest == nil || leaf.NotAfter.After(newest.NotAfter)) {
				newest, issuer = leaf, dir.Name()
			}
		}
	}
	return newest, issuer
}

// readCertificate returns the first certificate of a file, or nil.
func readCertificate(file string) *x509.Certificate {
	text, err := readSmall(file)
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return leaf
}
