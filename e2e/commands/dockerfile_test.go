package commands

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
)

func dockerfileCaddyVersion(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^ARG CADDY_VERSION=(\S+)$`).FindStringSubmatch(harness.ReadRoot(t, "xcaddy.Dockerfile"))
	if m == nil {
		t.Fatal("no ARG CADDY_VERSION=… in xcaddy.Dockerfile")
	}
	return m[1]
}

func TestTheImageIsBuiltWithTheCaddyOfGoMod(t *testing.T) {
	m := regexp.MustCompile(`(?m)^\s*(?:require )?github\.com/caddyserver/caddy/v2 v(\S+)`).FindStringSubmatch(harness.ReadRoot(t, "go.mod"))
	if m == nil || m[1] != dockerfileCaddyVersion(t) {
		t.Fatalf("go.mod says %v, xcaddy.Dockerfile %s", m, dockerfileCaddyVersion(t))
	}
	for _, from := range regexp.MustCompile(`(?m)^FROM .*$`).FindAllString(harness.ReadRoot(t, "xcaddy.Dockerfile"), -1) {
		if !strings.Contains(from, "caddy:${CADDY_VERSION}") {
			t.Errorf("%q is not of that version", from)
		}
	}
}

func TestTheImageIsOptimisedByAProfileOfTheTree(t *testing.T) {
	m := regexp.MustCompile(`(?m)^.* GOFLAGS=-pgo=/src/(\S+) \\$`).FindStringSubmatch(harness.ReadRoot(t, "xcaddy.Dockerfile"))
	if m == nil {
		t.Fatal("no GOFLAGS=-pgo=/src/… in xcaddy.Dockerfile")
	}
	if profile := harness.ReadRoot(t, m[1]); !strings.HasPrefix(profile, "\x1f\x8b") {
		t.Errorf("%s is no profile: those of pprof are gzipped", m[1])
	}
}

// Without its profile, which changes nothing but the code's speed and would double the time of this test.
func TestTheBuildCommandOfTheImageBuildsTheEdge(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)^\s+xcaddy (build .*)$`).FindStringSubmatch(harness.ReadRoot(t, "xcaddy.Dockerfile"))
	if command == nil {
		t.Fatal("no xcaddy build in xcaddy.Dockerfile")
	}
	built := filepath.Join(t.TempDir(), "caddy")
	args := strings.NewReplacer("${CADDY_VERSION}", dockerfileCaddyVersion(t), "/src", root, "/usr/bin/caddy", built).Replace(command[1])
	build := exec.CommandContext(t.Context(), "go", append([]string{"tool", "-modfile=tools.mod", "xcaddy"}, strings.Fields(args)...)...)
	build.Dir = root
	build.Env = append(os.Environ(), "GOPROXY="+proxyWithoutUs(t))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("xcaddy %s: %v\n%s", args, err, out)
	}
	out, err := exec.CommandContext(t.Context(), built, "list-modules", "--versions").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, module := range []string{"hoko", "http.handlers.api_key_auth", "http.handlers.redis_rate_limit", "http.handlers.track_sale", "http.handlers.api_errors", "http.handlers.request_fields", "admin.api.hoko"} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(module) + `(\s|$)`).Match(out) {
			t.Errorf("%s is not in it", module)
		}
	}
	if version, err := exec.CommandContext(t.Context(), built, "version").CombinedOutput(); err != nil || !strings.HasPrefix(string(version), "v"+dockerfileCaddyVersion(t)) {
		t.Errorf("caddy version: %s %v", version, err)
	}
}

// proxyWithoutUs is the Go module proxy, except that it says 404 of the edge's
// own path, as the public one does: one that forbids what it does not know, as
// some companies' do, ends a build with a replaced module.
func proxyWithoutUs(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	configured := strings.TrimSpace(string(out))
	upstream, _, _ := strings.Cut(configured, ",")
	if !strings.HasPrefix(upstream, "http") {
		return configured
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/hoko.to/") {
			http.NotFound(w, r)
			return
		}
		http.Redirect(w, r, strings.TrimSuffix(upstream, "/")+r.URL.EscapedPath(), http.StatusFound)
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL
}
