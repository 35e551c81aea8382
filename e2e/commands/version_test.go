package commands

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// build is what an edge says about its version.
type build struct {
	Version, Revision, Caddy, Go string
	Schema                       int
}

func TestVersion_SameWhereverAsked(t *testing.T) {
	out, code := caddy(t, []string{"hoko", "version", "--json"})
	var want build
	if err := json.Unmarshal([]byte(out), &want); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	if want.Version == "" || want.Caddy != "v"+dockerfileCaddyVersion(t) || !strings.HasPrefix(want.Go, "go1.") ||
		want.Schema == 0 {
		t.Errorf("got %+v", want)
	}
	line, _ := caddy(t, []string{"hoko", "version"})
	if !strings.HasPrefix(line, "Hoko Edge "+want.Version+" (") {
		t.Errorf("got %s", line)
	}

	e := harness.Start(t, harness.Settings{
		DatabaseURL: testenv.Database(t), RedisURL: testenv.Redis(t), Upstream: "127.0.0.1:1",
	})
	var state struct{ Version build }
	testenv.NoError(t, json.Unmarshal([]byte(e.AdminGet(t, "/hoko/")), &state))
	if state.Version != want {
		t.Errorf("the admin endpoint says %+v, want %+v", state.Version, want)
	}
	series := regexp.MustCompile(`(?m)^hoko_build_info\{.*version="` + regexp.QuoteMeta(want.Version) + `"\} 1$`)
	if metrics := e.AdminGet(t, "/metrics"); !series.MatchString(metrics) {
		t.Errorf("no series %s", series)
	}
	wantFirstLine(t, e.Log.String(), want)
}

// wantFirstLine checks the first line of the log that the edge's modules have written.
func wantFirstLine(t testing.TB, log string, want build) {
	t.Helper()
	for line := range strings.Lines(log) {
		var entry struct {
			build
			Logger string
		}
		if json.Unmarshal([]byte(line), &entry) != nil || !strings.HasPrefix(entry.Logger, "hoko") {
			continue
		}
		if entry.build != want {
			t.Errorf("the first line says %+v, want %+v: %s", entry.build, want, line)
		}
		return
	}
	t.Errorf("no line of the edge in\n%s", log)
}

func TestVersion_NamesTheCommit(t *testing.T) {
	commit, err := exec.CommandContext(t.Context(), "git", "-C", "../..", "rev-parse", "HEAD").Output()
	if err != nil {
		commit = nil // not a checkout, so Go does not know the commit either
	}
	var got build
	built := buildEdge(t, "GOFLAGS=-buildvcs=auto CGO_ENABLED=0 go build -trimpath -ldflags '-w -s' "+
		"-tags nobadger,nomysql,nopgx -o caddy ./cmd/caddy")
	out, err := exec.CommandContext(t.Context(), built, "hoko", "version", "--json").Output()
	testenv.NoError(t, err)
	testenv.NoError(t, json.Unmarshal(out, &got))
	revision := strings.TrimSuffix(got.Revision, "+dirty")
	short := revision[:min(len(revision), 12)]
	if revision != strings.TrimSpace(string(commit)) || !strings.Contains(got.Version, short) {
		t.Errorf("got %+v, want %s", got, commit)
	}
}

func TestVersion_StampedAsDocumented(t *testing.T) {
	var command string
	for line := range strings.Lines(harness.ReadRoot(t, "docs/operations.md")) {
		if strings.Contains(line, stamp) {
			command = line
		}
	}
	out, err := exec.CommandContext(t.Context(), buildEdge(t, command), "hoko", "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "Hoko Edge v1.2.3 (") {
		t.Errorf("%v: %s", err, out)
	}
}

// buildEdge runs a command that builds the edge as caddy in the root of the repository, and returns
// the path of the binary, which is elsewhere.
func buildEdge(t testing.TB, command string) string {
	t.Helper()
	built := filepath.Join(t.TempDir(), "caddy")
	make := exec.CommandContext(t.Context(), "/bin/sh", "-c", strings.Replace(command, "-o caddy ", "-o "+built+" ", 1))
	make.Dir = "../.."
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return built
}
