package cli

import (
	"strings"
	"testing"
)

// Each command would have gone to the server that happens to run on this machine.
func TestCommand_RefusesUnusableDatabaseURL(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	t.Setenv("DATABASE_URL", `"postgres://hoko:s3cret@host/site?sslmode=disable"`)
	for _, command := range []string{
		"migrate", "migrate --status", "doctor", "keys list", "keys revoke x", "keys create --workspace=a --scopes=linksRead",
		"idempotency clean", "idempotency erase --workspace=a --customer=b",
	} {
		stdout, stderr, err := hoko(t, strings.Fields(command)...)
		if err == nil {
			t.Fatalf("caddy hoko %s succeeds", command)
		}
		said := stdout + stderr + err.Error()
		if !strings.Contains(said, "connection string is in quotation marks: remove them") || strings.Contains(said, "s3cret") {
			t.Errorf("caddy hoko %s: %s", command, said)
		}
	}
}
