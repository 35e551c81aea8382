package ratelimit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"hoko.to/edge/internal/devserver"
	"hoko.to/edge/internal/relay"
)

// tlsRedis is a real Redis with TLS, and a relay to it.
type tlsRedis struct {
	*devserver.Redis
	relay        *relay.Relay
	url, relayed string
}

func startTLSRedis(t *testing.T) *tlsRedis {
	t.Helper()
	dir, port := openDir(t), freePort(t)
	cert, key := writeCertificate(t, dir)
	s := &tlsRedis{Redis: startRedis(t, dir, map[string]string{
		"tls-port": port, "bind": "127.0.0.1", "tls-cert-file": cert, "tls-key-file": key,
		"tls-ca-cert-file": cert, "tls-auth-clients": "no",
	})}
	var err error
	if s.relay, err = relay.Start("127.0.0.1:"+freePort(t), "127.0.0.1:"+port); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.relay.Close)
	s.url = "rediss://127.0.0.1:" + port + "?skip_verify=true"
	s.relayed = "rediss://" + s.relay.Address() + "?skip_verify=true"
	return s
}

func writeCertificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", public), write("key.pem", "PRIVATE KEY", secret)
}

// awaitRedis waits until Redis has decided three times in a row.
func awaitRedis(t *testing.T, l *Limiter) {
	t.Helper()
	for row, end := 0, time.Now().Add(longTimeout); row < 3; row++ {
		if d := allow(t, l, Request{Name: "default", Limit: perMinute}); d.Source != FromRedis {
			row = -1
		}
		if time.Now().After(end) {
			t.Fatalf("redis does not decide: %+v", l.Stats())
		}
	}
}

func TestTLS_SlowRedisDecides(t *testing.T) {
	s := startTLSRedis(t)
	const delay = 80 * time.Millisecond // each way
	s.relay.Delay(relay.ToServer, delay, 0)
	s.relay.Delay(relay.ToClient, delay, 0)
	limiter := newLimiter(t, Options{URL: s.relayed, Timeout: 3 * delay}) // for one round trip
	awaitRedis(t, limiter)
	s.relay.DropHalf()
	awaitRedis(t, limiter)
	s.relay.Cut()
	for allow(t, limiter, Request{Name: "default", Limit: perMinute}).Source == FromRedis {
	}
	if err := s.relay.Restore(); err != nil {
		t.Fatal(err)
	}
	s.relay.Delay(relay.ToServer, delay, 0)
	s.relay.Delay(relay.ToClient, delay, 0)
	awaitRedis(t, limiter)
}

func TestTLS_ClosedConnectionsAreNotUsed(t *testing.T) {
	s := startTLSRedis(t)
	limiter := newLimiter(t, Options{URL: s.url, Timeout: longTimeout})
	admin := adminClient(t, s.URL())
	for range 5 {
		var both sync.WaitGroup
		for range maxInFlight {
			both.Go(func() {
				if d := allow(t, limiter, Request{Name: "default", Limit: perMinute}); d.Source != FromRedis {
					t.Errorf("got %+v", d)
				}
			})
		}
		both.Wait()
		command(t, admin, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	}
}
