package commands

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// Kubernetes cannot check that a named user is not root.
func TestImage_UserIsANumber(t *testing.T) { dockerfile(t, `^USER (\d+:\d+)$`) }

// Images inherit the labels of https://github.com/caddyserver/caddy-docker.
func TestImage_ReplacesCaddysLabels(t *testing.T) {
	labels := dockerfile(t, `^LABEL (.*)$`)
	names := []string{"version", "title", "description", "url", "documentation", "vendor", "licenses", "source"}
	for _, name := range names {
		if !strings.Contains(labels, "org.opencontainers.image."+name+"=") {
			t.Errorf("the image has Caddy's %s", name)
		}
	}
}

// stopTime returns how many seconds the shipped Caddyfiles give a stop.
func stopTime(t testing.TB) (seconds int) {
	t.Helper()
	for _, name := range []string{"Caddyfile", "examples/sidecar.Caddyfile"} {
		config := harness.ReadRoot(t, name)
		seconds = max(seconds, harness.Number(t, `shutdown_delay \{\$SHUTDOWN_DELAY:(\d+)s\}`, config)+
			harness.Number(t, `grace_period (\d+)s`, config))
	}
	return seconds
}

// Docker kills a container 10 s after asking it to stop, unless configured otherwise.
func TestImage_StopTimeout(t *testing.T) {
	grace := stopTime(t)
	doc := harness.ReadRoot(t, "docs/operations.md")
	runs := regexp.MustCompile(`docker run --detach (?:.*\\\n)*.*`).FindAllString(doc, -1)
	if len(runs) == 0 {
		t.Error("docs/operations.md starts no container")
	}
	for _, run := range runs {
		if timeout := harness.Number(t, `--stop-timeout (\d+) `, run); timeout <= grace {
			t.Errorf("the container is killed after %d s, within shutdown_delay and grace_period, %d s", timeout, grace)
		}
	}
}

// The unit of Caddy's packages prints the environment, and kills sales in flight after 5 s.
func TestUnit_HidesThePasswordAndAwaitsSales(t *testing.T) {
	unit := regexp.MustCompile("(?s)```ini\n(.*?)```").FindString(harness.ReadRoot(t, "docs/operations.md"))
	if !strings.Contains(unit, "\nExecStart=/usr/bin/caddy run --config ") || strings.Contains(unit, "--environ") {
		t.Errorf("the unit prints the environment, or does not start the edge:\n%s", unit)
	}
	if seconds := harness.Number(t, `(?m)^TimeoutStopSec=(\d+)s$`, unit); seconds < stopTime(t)+10 {
		t.Errorf("the unit waits %d s, a stop with a sale takes up to %d s", seconds, stopTime(t)+10)
	}
}

// As root, the script runs the command as another user, who cannot write to root's directories.
func TestImage_Entrypoint(t *testing.T) {
	for name, c := range map[string]struct {
		writable, readOnly []string // folders below the home of the data
		warned             string
	}{
		"empty volume of root":    {nil, []string{"."}, "."},
		"volume of Caddy's":       {[]string{".", "caddy"}, []string{"caddy/certificates"}, "caddy/certificates"},
		"volume of this image":    {[]string{".", "caddy", "caddy/certificates"}, nil, ""},
		"folder in root's volume": {[]string{"caddy", "caddy/certificates"}, []string{"."}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			home := testenv.ShortDir(t)
			makeFolders(t, home, c.writable, 0o777)
			makeFolders(t, home, c.readOnly, 0o555)
			said := entrypoint(t, home)
			switch {
			case c.warned == "" && said != "":
				t.Errorf("got %q", said)
			case c.warned != "" && !strings.Contains(said, "cannot write "+filepath.Join(home, c.warned)+"."):
				t.Errorf("got %q", said)
			case c.warned != "" && !strings.Contains(said, "chown -R "):
				t.Errorf("no fix in %q", said)
			}
		})
	}
}

func makeFolders(t testing.TB, home string, names []string, mode os.FileMode) {
	t.Helper()
	for _, name := range names {
		folder := filepath.Join(home, name)
		testenv.NoError(t, os.MkdirAll(folder, 0o777))
		testenv.NoError(t, os.Chmod(folder, mode))
	}
}

// entrypoint returns what the image's script prints before it runs the command.
func entrypoint(t testing.TB, home string) string {
	t.Helper()
	var said strings.Builder
	script := exec.CommandContext(t.Context(), "/bin/sh", "-c", harness.ReadRoot(t, "docker-entrypoint.sh"),
		"docker-entrypoint.sh", "echo", "started")
	script.Dir, script.Stderr = "/", &said
	script.Env = append(os.Environ(), "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME=/nonexistent")
	if os.Getuid() == 0 {
		script.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	}
	if out, err := script.Output(); err != nil || string(out) != "started\n" {
		t.Fatalf("%v: %q %s", err, out, said.String())
	}
	return said.String()
}
