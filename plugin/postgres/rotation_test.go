package postgres_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/keys"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

// rotating is a server whose role "rotated" has changing credentials.
type rotating struct {
	testenv.DB
	*testenv.OwnPostgres
	dir string // of the client's files
}

func startRotating(t *testing.T, port int) *rotating {
	t.Helper()
	server := testenv.PostgresWith(t, map[string]string{"listen_addresses": "127.0.0.1", "port": strconv.Itoa(port)})
	dsn := server.DSN("postgres")
	testenv.NoError(t, postgres.Migrate(testenv.Guarded(t), dsn, nil))
	r := &rotating{testenv.Connect(t, dsn), server, t.TempDir()}
	r.Exec(pgtest.Catalog)
	r.Exec("CREATE ROLE rotated LOGIN SUPERUSER")
	r.write("pg_hba.conf", []byte("local all postgres trust\n"+
		"local all rotated scram-sha-256\nhostssl all rotated 127.0.0.1/32 cert\n"))
	r.Exec("SELECT pg_reload_conf()")
	return r
}

// write makes the server write a file in its data directory, so that the server's user owns it.
func (r *rotating) write(name string, content []byte) {
	r.T.Helper()
	const copyTo = `COPY (SELECT unnest(string_to_array('%s', E'\n'))) TO PROGRAM 'umask 077; cat > %s'`
	r.Exec(fmt.Sprintf(copyTo, content, name))
}

func (r *rotating) file(name string) string { return filepath.Join(r.dir, name) }

func (r *rotating) put(name string, content []byte) {
	r.T.Helper()
	testenv.NoError(r.T, os.WriteFile(r.file(name), content, 0o600))
}

// setPassword changes the role's password, and writes it to the client's file.
func (r *rotating) setPassword(file, format, password string) {
	r.T.Helper()
	r.Exec("ALTER ROLE rotated PASSWORD '" + password + "'")
	r.put(file, fmt.Appendf(nil, format, password))
}

// issue replaces the certificates of the CA, the server and the client.
func (r *rotating) issue() {
	r.T.Helper()
	ca, server, serverKey, client, clientKey := certificates(r.T)
	r.write("ca.crt", ca)
	r.write("server.crt", server)
	r.write("server.key", serverKey)
	for _, setting := range []string{"ssl_ca_file = 'ca.crt'", "ssl = on"} {
		r.Exec("ALTER SYSTEM SET " + setting)
	}
	before := testenv.Value[time.Time](r.DB, "SELECT pg_conf_load_time()")
	r.Exec("SELECT pg_reload_conf()")
	testenv.Until(r.T, "the configuration is read", func() bool {
		return testenv.Value[bool](testenv.Connect(r.T, r.DSN("postgres")), "SELECT pg_conf_load_time() > $1", before)
	})
	r.put("ca.crt", ca)
	r.put("client.crt", client)
	r.put("client.key", clientKey)
}

// certificates returns those of a new CA, of a server at 127.0.0.1 and of the role.
func certificates(t testing.TB) (ca, server, serverKey, client, clientKey []byte) {
	t.Helper()
	now := time.Now()
	template := func(name string) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	}
	authority := template(fmt.Sprint("authority ", now.UnixNano()))
	authority.IsCA, authority.BasicConstraintsValid, authority.KeyUsage = true, true, x509.KeyUsageCertSign
	issuer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.NoError(t, err)
	sign := func(c *x509.Certificate, key *ecdsa.PrivateKey) (certificate, pemKey []byte) {
		der, err := x509.CreateCertificate(rand.Reader, c, authority, &key.PublicKey, issuer)
		testenv.NoError(t, err)
		keyDER, err := x509.MarshalECPrivateKey(key)
		testenv.NoError(t, err)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	}
	certify := func(name string) (certificate, pemKey []byte) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		testenv.NoError(t, err)
		return sign(template(name), key)
	}
	ca, _ = sign(authority, issuer)
	server, serverKey = certify("127.0.0.1")
	client, clientKey = certify("rotated")
	return ca, server, serverKey, client, clientKey
}

// listening receives a value for each ListenerUp.
type listening chan struct{}

func (l listening) ListenerUp() { l <- struct{}{} }
func (listening) Notify(string) {}
func (listening) ListenerDown() {}

// clients has one of each client of Postgres in an edge.
type clients struct {
	keys      *keys.Store
	sales     *sales.Store
	listening listening
	log       testenv.Log
}

func connectClients(t *testing.T, dsn string) *clients {
	t.Helper()
	c := &clients{listening: make(listening, 10)}
	o := postgres.Options{DSN: dsn, Logger: c.log.Logger()}
	c.keys = pgtest.OpenKeys(t, o)
	c.sales = pgtest.OpenStore(t, dsn, func(o *postgres.Options) { o.Logger = c.log.Logger() })
	listener, err := keys.NewListener(o, c.keys, c.listening)
	testenv.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- listener.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return c
}

// lookUp looks up an unknown key. It returns nil if Postgres answers.
func (c *clients) lookUp(t *testing.T) error {
	if _, err := c.keys.Key(testenv.Guarded(t), apikey.Hash{}); !errors.Is(err, apikey.ErrNotFound) {
		return err
	}
	return nil
}

// wantWorking checks that all clients work.
func (c *clients) wantWorking(t *testing.T) {
	t.Helper()
	testenv.NoError(t, c.lookUp(t))
	pgtest.MustRecord(t, c.sales, pgtest.Sell("k"))
	select {
	case <-c.listening:
	case <-testenv.Guarded(t).Done():
		t.Fatalf("the listener is not up:\n%s", c.log.String())
	}
}

func TestRotatedCredentials_NeedNoReload(t *testing.T) {
	const passLine, noPassword = "*:*:*:rotated:%s\n", "no password: neither the connection string nor a passfile"
	for name, c := range map[string]struct {
		env, parameter, format, want string // FILE stands for the file's path
	}{
		"passfile":     {"", "&passfile=FILE", passLine, noPassword},
		"PGPASSFILE":   {"PGPASSFILE", "", passLine, noPassword},
		"service file": {"PGSERVICEFILE", "&service=hoko", "[hoko]\npassword=%s\n", "names a service"},
	} {
		t.Run(name, func(t *testing.T) {
			r := startRotating(t, testenv.FreePort(t))
			r.setPassword("file", c.format, "s3cret_old")
			if c.env != "" {
				t.Setenv(c.env, r.file("file"))
			}
			parameter := strings.Replace(c.parameter, "FILE", r.file("file"), 1)
			testRotation(t, r, r.DSN("postgres")+"&user=rotated"+parameter, c.want,
				func() { os.Remove(r.file("file")) },
				func() { r.setPassword("file", c.format, "s3cret_new") })
		})
	}
	t.Run("certificates", func(t *testing.T) {
		port := testenv.FreePort(t)
		r := startRotating(t, port)
		r.issue()
		dsn := fmt.Sprintf("postgres://rotated@127.0.0.1:%d/postgres?"+
			"sslmode=verify-full&sslrootcert=%s&sslcert=%s&sslkey=%s",
			port, r.file("ca.crt"), r.file("client.crt"), r.file("client.key"))
		testRotation(t, r, dsn, "sslmode, sslrootcert, sslcert or sslkey cannot be used: failed to decode sslkey",
			func() { r.put("client.key", []byte("s3cret: half written")) }, r.issue)
	})
}

// endConnections terminates the clients' sessions.
func (r *rotating) endConnections() {
	r.T.Helper()
	r.Exec("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'rotated'")
}

// testRotation ends all connections while the credentials are invalid, and after their renewal.
func testRotation(t *testing.T, r *rotating, dsn, want string, invalidate, renew func()) {
	t.Helper()
	c := connectClients(t, dsn)
	c.wantWorking(t)
	invalidate()
	r.endConnections()
	_, saleErr := c.sales.Record(testenv.Guarded(t), pgtest.Sell("k"))
	if err := c.lookUp(t); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("lookup: %v, want %s", err, want)
	}
	if !errors.Is(saleErr, sale.ErrNotRecorded) || !strings.Contains(saleErr.Error(), want) {
		t.Errorf("sale: %v, want %s", saleErr, want)
	}
	renew()
	r.endConnections()
	c.wantWorking(t)
	if strings.Contains(c.log.String(), "s3cret") {
		t.Errorf("logged a secret:\n%s", c.log.String())
	}
}
