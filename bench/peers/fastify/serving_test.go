package fastify_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestService_HTTPSWithWorkersAndLog(t *testing.T) {
	tlsServer := httptest.NewTLSServer(nil) // for its certificate and its client
	defer tlsServer.Close()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	log := filepath.Join(dir, "access.log")
	private, err := x509.MarshalPKCS8PrivateKey(tlsServer.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, cert, "CERTIFICATE", tlsServer.Certificate().Raw)
	writePEM(t, key, "PRIVATE KEY", private)

	s := startService(t, "WORKERS=2", "TLS_CERT="+cert, "TLS_KEY="+key, "LOG="+log)
	s.url, s.client = strings.Replace(s.url, "http:", "https:", 1), tlsServer.Client()
	const requests = 4
	for range requests {
		if got := send(t, s, "Bearer full", "", published); got.status != 201 {
			t.Fatalf("got %s", got)
		}
		s.client.CloseIdleConnections() // the next request goes to the other worker
	}
	s.stop(t)

	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	handled, workers := 0, map[int]bool{}
	for line := range bytes.Lines(text) {
		var entry struct {
			PID, Status int
			URI, Msg    string
		}
		if err := json.Unmarshal(line, &entry); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if entry.Msg == "handled request" && entry.Status == 201 && entry.URI == "/api/track/sale" {
			handled++
			workers[entry.PID] = true
		}
	}
	if handled != requests || len(workers) != 2 {
		t.Errorf("%d requests of %d workers are logged, want %d of 2:\n%s", handled, len(workers), requests, text)
	}
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
