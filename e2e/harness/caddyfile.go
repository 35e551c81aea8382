package harness

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

// CaddyfilePath returns the path from which the edge reads its Caddyfile.
func (e *Edge) CaddyfilePath() string { return filepath.Join(e.Dir, "Caddyfile") }

// WriteCaddyfile writes the Caddyfile of the edge, with the edge's ports and changed by edit unless
// edit is nil. An edit that changes nothing fails the test.
func (e *Edge) WriteCaddyfile(t testing.TB, edit func(string) string) {
	t.Helper()
	const globals = "{\n\thttp_port %d\n\tadmin unix/%s\n\tskip_install_trust\n\tlocal_certs\n\tpersist_config off\n"
	head := fmt.Sprintf(globals, e.HTTPPort, e.Admin)
	if !e.settings.Plain {
		head += fmt.Sprintf("\thttps_port %d\n", e.Port)
	}
	config := strings.Replace(ReadRoot(t, cmp.Or(e.settings.Caddyfile, "Caddyfile")), "{\n", head, 1)
	// On a busy machine, Redis may take longer than the shipped timeout.
	config = strings.Replace(config, "{env.REDIS_URL}\n", "{env.REDIS_URL} {\n\t\t\ttimeout 10s\n\t\t}\n", 1)
	if edit != nil {
		changed := edit(config)
		if changed == config {
			t.Fatal("the edit changed nothing")
		}
		config = changed
	}
	testenv.NoError(t, os.WriteFile(e.CaddyfilePath(), []byte(config), 0o600))
}

// Replace returns an edit that replaces the first occurrence of from in the Caddyfile.
func Replace(from, to string) func(string) string {
	return func(config string) string { return strings.Replace(config, from, to, 1) }
}

// skipStorageCleaning marks the storage as just cleaned. Caddy's cleaning at start can remove the
// directory of a certificate that is being written.
func skipStorageCleaning(t testing.TB, dir string) {
	t.Helper()
	testenv.NoError(t, os.MkdirAll(filepath.Join(dir, "caddy"), 0o700))
	stamp, err := json.Marshal(map[string]any{"tls": map[string]any{"timestamp": time.Now()}})
	testenv.NoError(t, err)
	testenv.NoError(t, os.WriteFile(filepath.Join(dir, "caddy", "last_clean.json"), stamp, 0o600))
}
