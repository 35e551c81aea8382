package commands

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// startWith starts an edge whose Caddyfile has these lines instead of the harness's admin endpoint,
// and one hoko_health on the port. Caddy saves its configuration, as in the image.
func startWith(t *testing.T, admin string, port int, environment ...string) *harness.Edge {
	t.Helper()
	return harness.Start(t, harness.Settings{
		DatabaseURL: testenv.Database(t), RedisURL: testenv.Redis(t), Upstream: "127.0.0.1:1", Env: environment,
		Edit: func(config string) string {
			config = regexp.MustCompile(`\tadmin unix/\S+\n`).ReplaceAllLiteralString(config, admin)
			config = strings.Replace(config, "\tpersist_config off\n", "", 1)
			return config + fmt.Sprintf("\nhttp://:%d {\n\thoko_health\n}\n", port)
		},
	})
}

// imageCheck returns the arguments of the image's health check.
func imageCheck(t testing.TB) []string {
	t.Helper()
	words := regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(dockerfile(t, `^HEALTHCHECK .* CMD \[(.*)\]$`), -1)
	if len(words) == 0 || words[0][1] != "caddy" {
		t.Fatal("the image's health check is not a command of caddy")
	}
	var args []string
	for _, word := range words[1:] {
		args = append(args, word[1])
	}
	return args
}

// healthOf runs a check as the edge's user would: with its files and variables.
func healthOf(t *testing.T, e *harness.Edge, args []string, environment ...string) (out string, exitCode int) {
	t.Helper()
	return caddy(t, args, append([]string{"HOME=" + e.Dir, "XDG_CONFIG_HOME=" + e.Dir,
		"http_proxy=http://127.0.0.1:1", "all_proxy=http://127.0.0.1:1"}, environment...)...)
}

func TestImage_HealthCheckFindsTheEdge(t *testing.T) {
	socket := filepath.Join(testenv.ShortDir(t), "admin.sock")
	moved, fromVariable, health := testenv.FreePort(t), testenv.FreePort(t), testenv.FreePort(t)
	for name, c := range map[string]struct {
		admin       string
		environment string // of the edge and of the check, as in a container
	}{
		"by CADDY_ADMIN": {"", fmt.Sprint("CADDY_ADMIN=127.0.0.1:", fromVariable)},
		"moved":          {fmt.Sprintf("\tadmin 127.0.0.1:%d\n", moved), "UNUSED="},
		"Unix socket":    {"\tadmin unix/" + socket + "|0600\n", "UNUSED="},
		"off":            {"\tadmin off\n", fmt.Sprint("HEALTH_URL=http://127.0.0.1:", health)},
	} {
		t.Run(name, func(t *testing.T) {
			e := startWith(t, c.admin, health, c.environment)
			out, code := healthOf(t, e, imageCheck(t), c.environment)
			if code != 0 || !strings.Contains(out, `{"status":"`) {
				t.Errorf("exit code %d: %s", code, out)
			}
			if c.admin == "\tadmin off\n" {
				out, code := healthOf(t, e, imageCheck(t))
				if code != 1 || !strings.Contains(out, "set HEALTH_URL or --url") {
					t.Errorf("without HEALTH_URL: exit code %d: %s", code, out)
				}
			}
			e.Signal(syscall.SIGTERM)
			e.AwaitEnd(t)
			if log := e.Log.String(); strings.Contains(log, "/hoko/health/") {
				t.Errorf("a check writes to the log:\n%s", log)
			}
			if out, code := healthOf(t, e, imageCheck(t), c.environment); code != 1 {
				t.Errorf("after the end: exit code %d: %s", code, out)
			}
		})
	}
}

func TestHealth_StoppingDuringTheShutdownDelay(t *testing.T) {
	port := testenv.FreePort(t)
	socket := filepath.Join(testenv.ShortDir(t), "admin.sock")
	e := startWith(t, "\tadmin unix/"+socket+"\n", port, "SHUTDOWN_DELAY=10m")
	byURL := []string{"hoko", "health", "--url", fmt.Sprint("http://127.0.0.1:", port)}
	byAdmin := []string{"hoko", "health", "--address", "unix/" + socket}
	for _, args := range [][]string{byURL, byAdmin} {
		if out, code := healthOf(t, e, args); code != 0 {
			t.Errorf("%v: exit code %d: %s", args, code, out)
		}
	}
	e.Signal(syscall.SIGTERM)
	e.Log.Wait(t, "shutdown scheduled")
	for _, args := range [][]string{byURL, byAdmin} {
		out, code := healthOf(t, e, args)
		if code != 1 || !strings.Contains(out, `503 Service Unavailable: {"status":"stopping"}`) {
			t.Errorf("%v: exit code %d: %s", args, code, out)
		}
	}
	if out, code := healthOf(t, e, append(byAdmin, "--live")); code != 0 {
		t.Errorf("live: exit code %d: %s", code, out)
	}
	client := e.Client(t, "HTTP/2.0")
	harness.WantStatus(t, e.Call(t, client, "GET", "/api/x", ""), 502) // by the site, which does not run
	e.Signal(syscall.SIGKILL)
}

func TestHealth_ConfigNamesTheAdminEndpoint(t *testing.T) {
	e := harness.Start(t, harness.Settings{
		DatabaseURL: testenv.Database(t), RedisURL: testenv.Redis(t), Upstream: "127.0.0.1:1",
	})
	for _, args := range [][]string{nil, {"--adapter", "caddyfile"}, {"--live"}} {
		out, err := e.Caddy(t, append([]string{"hoko", "health", "--config", e.CaddyfilePath()}, args...)...)
		if err != nil || !strings.Contains(out, `{"status":"`) {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
}

func TestHealth_Errors(t *testing.T) {
	page := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<h1>Welcome</h1>") }
	site, secure := httptest.NewServer(http.HandlerFunc(page)), httptest.NewTLSServer(http.HandlerFunc(page))
	defer site.Close()
	defer secure.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	testenv.NoError(t, err)
	defer mute.Close()
	for line, want := range map[string]string{
		"--url " + site.URL:        "this is not an answer of Hoko Edge",
		"--url " + secure.URL:      "put hoko_health into a plain HTTP site",
		"--url 127.0.0.1:8082":     "cannot contain colon",
		"--url http://127.0.0.1:1": "connection refused",
		"--url http://" + mute.Addr().String() + " --timeout 50ms": "no answer within 50ms",
		"--address " + mute.Addr().String() + " --timeout 50ms":    "no answer within 50ms",
		"--address unix//none.sock":                                "no such file",
		"--address 127.0.0.1:1-3":                                  "several ports",
		"--config none.Caddyfile":                                  "none.Caddyfile",
		"--url http://127.0.0.1:1 --live":                          "none of the others can be",
	} {
		args := append([]string{"hoko", "health"}, strings.Fields(line)...)
		got, code := caddy(t, args, "XDG_CONFIG_HOME="+t.TempDir())
		if code != 1 || !strings.Contains(got, want) || strings.Contains(got, "panic") {
			t.Errorf("%s: exit code %d, want %q in\n%s", line, code, want, got)
		}
	}
}
