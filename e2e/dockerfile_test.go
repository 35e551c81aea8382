package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func readRoot(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func dockerfileCaddyVersion(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^ARG CADDY_VERSION=(\S+)$`).FindStringSubmatch(readRoot(t, "xcaddy.Dockerfile"))
	if m == nil {
		t.Fatal("no ARG CADDY_VERSION=… in xcaddy.Dockerfile")
	}
	return m[1]
}

func TestTheImageIsBuiltWithTheCaddyOfGoMod(t *testing.T) {
	m := regexp.MustCompile(`(?m)^\s*(?:require )?github\.com/caddyserver/caddy/v2 v(\S+)`).FindStringSubmatch(readRoot(t, "go.mod"))
	if m == nil || m[1] != dockerfileCaddyVersion(t) {
		t.Fatalf("go.mod says %v, xcaddy.Dockerfile %s", m, dockerfileCaddyVersion(t))
	}
	for _, from := range regexp.MustCompile(`(?m)^FROM .*$`).FindAllString(readRoot(t, "xcaddy.Dockerfile"), -1) {
		if !strings.Contains(from, "caddy:${CADDY_VERSION}") {
			t.Errorf("%q is not of that version", from)
		}
	}
}

func TestTheBuildCommandOfTheImageBuildsTheEdge(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)^\s+xcaddy (build .*)$`).FindStringSubmatch(readRoot(t, "xcaddy.Dockerfile"))
	if command == nil {
		t.Fatal("no xcaddy build in xcaddy.Dockerfile")
	}
	built := filepath.Join(t.TempDir(), "caddy")
	args := strings.NewReplacer("${CADDY_VERSION}", dockerfileCaddyVersion(t), "/src", root, "/usr/bin/caddy", built).Replace(command[1])
	build := exec.CommandContext(t.Context(), "go", append([]string{"tool", "-modfile=tools.mod", "xcaddy"}, strings.Fields(args)...)...)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("xcaddy %s: %v\n%s", args, err, out)
	}
	out, err := exec.CommandContext(t.Context(), built, "list-modules", "--versions").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, module := range []string{"hoko", "http.handlers.api_key_auth", "http.handlers.redis_rate_limit", "http.handlers.track_sale", "http.handlers.api_errors", "admin.api.hoko"} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(module) + `(\s|$)`).Match(out) {
			t.Errorf("%s is not in it", module)
		}
	}
	if version, err := exec.CommandContext(t.Context(), built, "version").CombinedOutput(); err != nil || !strings.HasPrefix(string(version), "v"+dockerfileCaddyVersion(t)) {
		t.Errorf("caddy version: %s %v", version, err)
	}
}
