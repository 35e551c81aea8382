package reload

import (
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// A shell of cron, sudo or ssh lacks the environment variables with which the edge was started.
func TestReload_FromABareShellChangesNothing(t *testing.T) {
	e, c := startWithoutServers(t, harness.Settings{})
	wantBareReloadRejected(t, e)
	if got := e.Call(t, c, "GET", "/page", ""); got.Text != "site GET /page" {
		t.Errorf("the site answers %d %s", got.StatusCode, got.Text)
	}

	e, c = startWithoutServers(t, harness.Settings{Caddyfile: "examples/sidecar.Caddyfile", Plain: true})
	wantBareReloadRejected(t, e)
	page, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+e.Address()+"/page", nil)
	testenv.NoError(t, err)
	if got := harness.Do(t, c, page); got.Text != "site GET /page" {
		t.Errorf("the site behind the sidecar answers %d %s", got.StatusCode, got.Text)
	}
}

func startWithoutServers(t *testing.T, settings harness.Settings) (*harness.Edge, *http.Client) {
	t.Helper()
	settings.DatabaseURL, settings.RedisURL = "postgres://127.0.0.1:1/none", "redis://127.0.0.1:1"
	settings.Upstream = harness.StartSite(t, nil).Upstream()
	e := harness.Start(t, settings)
	if settings.Plain {
		return e, http.DefaultClient
	}
	return e, e.Client(t, "HTTP/1.1")
}

func wantBareReloadRejected(t *testing.T, e *harness.Edge) {
	t.Helper()
	for _, environment := range [][]string{nil, {"SITE_ADDRESS=", "UPSTREAM=", "PORT="}} {
		reload := exec.CommandContext(t.Context(), testenv.Edge(t), "reload", "--config", e.CaddyfilePath(),
			"--address", "unix/"+e.Admin, "--force")
		reload.Env = append([]string{"HOME=" + e.Dir}, environment...)
		out, err := reload.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "UPSTREAM, which this file reads") {
			t.Errorf("%v: %s", err, out)
		}
	}
}

func TestReload_BySignalHasTheEdgesVariables(t *testing.T) {
	e, c := startWithoutServers(t, harness.Settings{})
	e.WriteCaddyfile(t, harness.Replace("\t\treverse_proxy", "\t\trespond /new \"new\"\n\t\treverse_proxy"))
	e.Signal(syscall.SIGUSR1)
	e.Log.Wait(t, "successfully reloaded config from file")
	for path, want := range map[string]string{"/new": "new", "/page": "site GET /page"} {
		if got := e.Call(t, c, "GET", path, ""); got.Text != want {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.Text)
		}
	}
}
