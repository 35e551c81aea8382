package commands

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// dockerfile returns what the group of pattern matches in xcaddy.Dockerfile, after joining lines
// that end in a backslash. The pattern must match exactly once.
func dockerfile(t testing.TB, pattern string) string {
	t.Helper()
	text := strings.ReplaceAll(harness.ReadRoot(t, "xcaddy.Dockerfile"), "\\\n", "")
	found := regexp.MustCompile("(?m)"+pattern).FindAllStringSubmatch(text, -1)
	if len(found) != 1 {
		t.Fatalf("%s matches %d times in xcaddy.Dockerfile, want once", pattern, len(found))
	}
	return found[0][1]
}

func dockerfileCaddyVersion(t testing.TB) string {
	t.Helper()
	return dockerfile(t, `^ARG CADDY_RELEASE=(\S+)$`)
}

func TestImage_HasTheCaddyVersionOfGoMod(t *testing.T) {
	m := regexp.MustCompile(`(?m)^\s*(?:require )?github\.com/caddyserver/caddy/v2 v(\S+)`).
		FindStringSubmatch(harness.ReadRoot(t, "go.mod"))
	if m == nil || m[1] != dockerfileCaddyVersion(t) {
		t.Fatalf("go.mod says %v, xcaddy.Dockerfile %s", m, dockerfileCaddyVersion(t))
	}
	file := harness.ReadRoot(t, "xcaddy.Dockerfile")
	for _, from := range regexp.MustCompile(`(?m)^FROM .*$`).FindAllString(file, -1) {
		if !strings.Contains(from, "caddy:${CADDY_RELEASE}") {
			t.Errorf("%q has another version", from)
		}
	}
}

// stamp is the linker flag that sets the version, which follows.
const stamp = "-X hoko.to/edge/caddymodule/version.stamped="

// xcaddy's own flags do not apply if there are others, so script/test compares: the tests' binary
// has xcaddy's flags.
func TestImage_HasTheFlagsOfTheTests(t *testing.T) {
	flags := dockerfile(t, ` XCADDY_GO_BUILD_FLAGS="(.*?)" `)
	tags := regexp.MustCompile(`(?m)^tags=(\S+)$`).FindStringSubmatch(harness.ReadRoot(t, "script/test"))
	if want := "-trimpath -tags " + tags[1] + " -ldflags '-w -s " + stamp + "${EDGE_VERSION}'"; flags != want {
		t.Errorf("the image has %s, want %s", flags, want)
	}
}

// If an ARG and an ENV of the base image share a name, BuildKit prefers the ARG, other builders the
// ENV.
func TestImage_BuildArguments(t *testing.T) {
	version := dockerfileCaddyVersion(t)
	arguments := []string{"TARGETOS=linux", "TARGETARCH=amd64", "CADDY_RELEASE=" + version, "CADDY_VERSION=" + version,
		"EDGE_VERSION=v1.2.3"}
	// As https://github.com/caddyserver/caddy-docker sets them.
	builder := []string{"CADDY_VERSION=v" + version, "XCADDY_VERSION=v0.4.5", "XCADDY_SETCAP=1",
		"XCADDY_SKIP_CLEANUP=1"}
	bin := t.TempDir()
	const xcaddy = "#!/bin/sh\necho \"$GOOS $GOARCH setcap=$XCADDY_SETCAP $1 $2 $XCADDY_GO_BUILD_FLAGS\"\n"
	testenv.NoError(t, os.WriteFile(filepath.Join(bin, "xcaddy"), []byte(xcaddy), 0o755))
	for precedence, env := range map[string][]string{
		"ARG wins": slices.Concat(builder, arguments),
		"ENV wins": slices.Concat(arguments, builder),
	} {
		t.Run(precedence, func(t *testing.T) {
			run := exec.CommandContext(t.Context(), "/bin/sh", "-c", dockerfile(t, `^RUN (.*xcaddy build .*)$`))
			run.Env = append(env, "PATH="+bin)
			out, err := run.CombinedOutput()
			want := "linux amd64 setcap=0 build v" + version + " " +
				"-trimpath -tags nobadger,nomysql,nopgx -ldflags '-w -s " + stamp + "v1.2.3'\n"
			if err != nil || string(out) != want {
				t.Errorf("%v: %swant %s", err, out, want)
			}
		})
	}
}

func TestImage_IsOptimizedByAProfile(t *testing.T) {
	name := dockerfile(t, ` GOFLAGS=-pgo=/src/(\S+) `)
	if profile := harness.ReadRoot(t, name); !strings.HasPrefix(profile, "\x1f\x8b") {
		t.Errorf("%s is not a gzipped pprof profile", name)
	}
}

// Builds from the files that the image copies, without a profile, which would double the time.
func TestImage_BuildCommandBuildsTheEdge(t *testing.T) {
	source, built := copiedSource(t), filepath.Join(t.TempDir(), "caddy")
	args := strings.NewReplacer("${CADDY_RELEASE}", dockerfileCaddyVersion(t), "/src", source, "/usr/bin/caddy", built).
		Replace(dockerfile(t, ` xcaddy (build .*)$`))
	build := exec.CommandContext(t.Context(), "go",
		append([]string{"tool", "-modfile=tools.mod", "xcaddy"}, strings.Fields(args)...)...)
	build.Dir = "../.."
	flags := strings.Replace(dockerfile(t, ` XCADDY_GO_BUILD_FLAGS="(.*?)" `), "${EDGE_VERSION}", "v1.2.3-image", 1)
	build.Env = append(os.Environ(), "GOPROXY="+proxyWithoutUs(t), "XCADDY_GO_BUILD_FLAGS="+flags)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("xcaddy %s: %v\n%s", args, err, out)
	}
	out, err := exec.CommandContext(t.Context(), built, "list-modules", "--versions").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, module := range []string{"hoko", "http.handlers.api_key_auth", "http.handlers.redis_rate_limit",
		"http.handlers.track_sale", "http.handlers.api_errors", "http.handlers.request_fields",
		"http.handlers.hoko_health", "admin.api.hoko",
		"caddy.logging.encoders.hoko"} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(module) + `(\s|$)`).Match(out) {
			t.Errorf("%s is missing from the binary", module)
		}
	}
	version, err := exec.CommandContext(t.Context(), built, "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(version), "v"+dockerfileCaddyVersion(t)) {
		t.Errorf("caddy version: %s %v", version, err)
	}
	version, err = exec.CommandContext(t.Context(), built, "hoko", "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(version), "Hoko Edge v1.2.3-image (Caddy v") {
		t.Errorf("caddy hoko version: %s %v", version, err)
	}
}

// copiedSource returns a directory with the files that the image copies to /src: no tests, no
// testdata.
func copiedSource(t testing.TB) string {
	t.Helper()
	ignored := harness.ReadRoot(t, ".dockerignore")
	if !strings.Contains(ignored, "\n**/*_test.go\n") || !strings.Contains(ignored, "\n**/testdata\n") {
		t.Error(".dockerignore must exclude tests, so that editing one does not recompile the image")
	}
	dir := t.TempDir()
	file := harness.ReadRoot(t, "xcaddy.Dockerfile")
	for _, line := range regexp.MustCompile(`(?m)^COPY (.*) /src/(.*)$`).FindAllStringSubmatch(file, -1) {
		for _, from := range strings.Fields(line[1]) {
			to := filepath.Join(dir, line[2])
			if line[2] == "" || strings.HasSuffix(line[2], "/") {
				to = filepath.Join(to, filepath.Base(from))
			}
			copyTree(t, filepath.Join("../..", from), to)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "README.md")); err == nil {
		t.Error("the image copies README.md, so editing it recompiles the edge")
	}
	return dir
}

func copyTree(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "testdata":
			return fs.SkipDir
		case entry.IsDir() || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
	testenv.NoError(t, err)
}

// proxyWithoutUs returns a Go module proxy that answers 404 for the edge's module path, as the
// public one does. A proxy that answers 403 there, as some companies' do, would end the build.
func proxyWithoutUs(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOPROXY").Output()
	testenv.NoError(t, err)
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
