package commands

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
)

// caddy runs the binary with only HOME and environment set, and returns its output and exit code.
func caddy(t *testing.T, args []string, environment ...string) (out string, exitCode int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testenv.Edge(t), args...)
	cmd.Dir = "../.."
	cmd.Env = append([]string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}, environment...)
	text, err := cmd.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func TestCommandLine_InvalidFails(t *testing.T) {
	for line, want := range map[string]string{
		"hoko doctr":                 "did you mean doctor?",
		"hoko keys revok x":          "did you mean revoke?",
		"hoko idempotency cleen":     "did you mean clean?",
		"hoko keys list --worksp=a":  "unknown flag: --worksp",
		"hoko dev --port 0":          "--port must be 1 to 65535, not 0",
		"add-package example.com/a":  "xcaddy build v2.",
		"remove-package example.com": "--replace hoko.to/edge=. --with hoko.to/edge/caddymodule",
		"upgrade":                    "xcaddy build v2.",
	} {
		got, code := caddy(t, strings.Fields(line))
		if code != 1 || !strings.Contains(got, want) || strings.Contains(got, "panic") {
			t.Errorf("caddy %s: exit code %d, want %q in\n%s", line, code, want, got)
		}
	}
}
