package commands

import (
	"fmt"
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

// Kubernetes cannot tell whether a name is root.
func TestImage_UserIsANumber(t *testing.T) { dockerfile(t, `^USER (\d+:\d+)$`) }

// The labels of https://github.com/caddyserver/caddy-docker, which an image inherits.
func TestImage_ReplacesCaddysLabels(t *testing.T) {
	labels := dockerfile(t, `^LABEL (.*)$`)
	for _, name := range []string{"version", "title", "description", "url", "documentation", "vendor", "licenses", "source"} {
		if !strings.Contains(labels, "org.opencontainers.image."+name+"=") {
			t.Errorf("the image says Caddy's %s", name)
		}
	}
}

func TestImage_HealthCheck(t *testing.T) {
	port := testenv.FreePort(t)
	e := harness.Start(t, harness.Settings{DatabaseURL: testenv.Database(t), RedisURL: testenv.Redis(t), Upstream: "127.0.0.1:1",
		Edit: func(config string) string {
			return regexp.MustCompile(`admin unix/\S+`).ReplaceAllString(config, fmt.Sprint("admin 127.0.0.1:", port))
		}})
	check := strings.Replace(dockerfile(t, `^HEALTHCHECK .* CMD (.*)$`), "127.0.0.1:2019", fmt.Sprint("127.0.0.1:", port), 1)
	healthy := func() error {
		command := exec.CommandContext(t.Context(), "/bin/sh", "-c", check)
		command.Env = append(os.Environ(), "http_proxy=http://127.0.0.1:1", "all_proxy=http://127.0.0.1:1", "no_proxy=")
		return command.Run()
	}
	if err := healthy(); err != nil {
		t.Errorf("a running edge is unhealthy: %v", err)
	}
	e.Signal(syscall.SIGTERM)
	e.AwaitEnd(t)
	if strings.Contains(e.Log.String(), "received request") {
		t.Error("a check writes to the log")
	}
	if healthy() == nil {
		t.Error("an edge that has ended is healthy")
	}
}

// Under root the script runs as another user, who is refused what nobody but root may write.
func TestImage_Entrypoint(t *testing.T) {
	for name, c := range map[string]struct {
		writable, readOnly []string // folders below the home of the data
		warned             string
	}{
		"empty volume of root":              {nil, []string{"."}, "."},
		"volume of Caddy's own image":       {[]string{".", "caddy"}, []string{"caddy/certificates"}, "caddy/certificates"},
		"volume of this image":              {[]string{".", "caddy", "caddy/certificates"}, nil, ""},
		"folder of ours in a volume's root": {[]string{"caddy", "caddy/certificates"}, []string{"."}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			home := testenv.ShortDir(t)
			makeFolders(t, home, c.writable, 0o777)
			makeFolders(t, home, c.readOnly, 0o555)
			said := entrypoint(t, home)
			switch {
			case c.warned == "" && said != "":
				t.Errorf("it said %q", said)
			case c.warned != "" && !(strings.Contains(said, "cannot write "+filepath.Join(home, c.warned)+".") && strings.Contains(said, "chown -R ")):
				t.Errorf("it said %q", said)
			}
		})
	}
}

func makeFolders(t testing.TB, home string, names []string, mode os.FileMode) {
	t.Helper()
	for _, name := range names {
		folder := filepath.Join(home, name)
		if err := os.MkdirAll(folder, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(folder, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// entrypoint returns what the image's script says before it runs the command.
func entrypoint(t testing.TB, home string) string {
	t.Helper()
	var said strings.Builder
	script := exec.CommandContext(t.Context(), "/bin/sh", "-c", harness.ReadRoot(t, "docker-entrypoint.sh"), "docker-entrypoint.sh", "echo", "started")
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
