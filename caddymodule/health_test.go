package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"hoko.to/edge/caddymodule/health"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

func down(part string) bool { return slices.Contains(health.Ready().Degraded, part) }

// slowApp is an app whose Start waits.
type slowApp struct{}

var slowStart = struct{ entered, release chan struct{} }{make(chan struct{}), make(chan struct{})}

func (slowApp) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hoko_test_slow", New: func() caddy.Module { return new(slowApp) }}
}
func (slowApp) Stop() error { return nil }
func (slowApp) Start() error {
	slowStart.entered <- struct{}{}
	<-slowStart.release
	return nil
}

func TestHealth_StartingUntilAllAppsRun(t *testing.T) {
	caddy.RegisterModule(slowApp{})
	e := newEdge(t, testenv.Database(t), testenv.Redis(t))
	e.routes = "hoko_health"
	config := bytes.Replace(e.config(), []byte(`"apps":{`), []byte(`"apps":{"hoko_test_slow":{},`), 1)
	loaded := make(chan error)
	go func() { loaded <- caddy.Load(config, true) }()
	<-slowStart.entered
	recorder := httptest.NewRecorder()
	if err := health.Ready().Write(recorder); err != nil || recorder.Code != 503 {
		t.Errorf("before the start: %d %v", recorder.Code, err)
	}
	if got := health.Ready().Status; got != "starting" {
		t.Errorf("before the start: %q", got)
	}
	close(slowStart.release)
	testenv.NoError(t, <-loaded)
	if got := e.send("GET", "/", nil, ""); got.status != 200 {
		t.Errorf("after the start: %d %s", got.status, got.body)
	}
	eventually(t, "Postgres is up", func() bool { return !down("postgres") })
	testenv.NoError(t, caddy.Stop())
	if got := health.Ready().Status; got != "starting" {
		t.Errorf("after the edge's config is gone: %q", got)
	}
}

func TestHealth_AnswersGetAndHead(t *testing.T) {
	e := startEdge(t, "hoko_health /health\nrespond 404")
	eventually(t, "Postgres is up", func() bool { return !down("postgres") })
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "OPTIONS": 405} {
		got := e.send(method, "/health", nil, "")
		if got.status != want || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", method, got.status, got.header)
		}
		if (got.header.Get("Allow") == "GET, HEAD") != (want == 405) {
			t.Errorf("%s: Allow %q", method, got.header.Get("Allow"))
		}
		isReport := got.header.Get("Content-Type") == "application/json" && strings.HasPrefix(got.body, `{"status":"`)
		if method == "GET" && !isReport {
			t.Errorf("%v %s", got.header, got.body)
		}
	}
}

func TestHealth_OnAPortOfItsOwn(t *testing.T) {
	port := testenv.FreePort(t)
	startEdge(t, fmt.Sprintf("api_key_auth\nrespond ok\n}\nhttp://:%d {\nhoko_health\n", port))
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	testenv.NoError(t, err)
	response.Body.Close()
	if response.StatusCode != 200 {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestHealth_NeedsTheHokoBlock(t *testing.T) {
	err := caddy.Validate(mustConfig(t, ":8082 {\n\thoko_health\n}\n"))
	if err == nil || !strings.Contains(err.Error(), "no hoko block") {
		t.Errorf("error %v", err)
	}
}

func mustConfig(t *testing.T, text string) *caddy.Config {
	t.Helper()
	config := new(caddy.Config)
	testenv.NoError(t, json.Unmarshal(mustAdapt(t, text), config))
	return config
}

func TestHealth_RedisDownAndBack(t *testing.T) {
	redis := testenv.RedisServer(t)
	newEdge(t, testenv.Database(t), redis.URL()).mustLoad()
	eventually(t, "Redis is up", func() bool { return !down("redis") })
	redis.Kill()
	eventually(t, "Redis is down", func() bool { return down("redis") })
	if got := health.Ready(); got.Status != "degraded" || !got.IsReady() {
		t.Errorf("got %+v", got)
	}
	redis.Start(t)
	eventually(t, "Redis is up again", func() bool { return !down("redis") })
}

func TestHealth_PostgresDownAndBack(t *testing.T) {
	server := testenv.Postgres(t)
	testenv.NoError(t, postgres.Migrate(t.Context(), server.DSN("postgres"), nil))
	newEdge(t, server.DSN("postgres"), testenv.Redis(t)).mustLoad()
	eventually(t, "Postgres is up", func() bool { return !down("postgres") })
	server.Kill()
	eventually(t, "Postgres is down", func() bool { return down("postgres") })
	if got := health.Ready(); got.Status != "degraded" || !got.IsReady() {
		t.Errorf("got %+v", got)
	}
	server.Start(t)
	eventually(t, "Postgres is up again", func() bool { return !down("postgres") })
}

func TestHealth_ReadyDuringReloads(t *testing.T) {
	e := startEdge(t, "hoko_health")
	stop, unready := make(chan struct{}), make(chan health.Report, 1)
	go func() { // ends with the reloads
		defer close(unready)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if report := health.Ready(); !report.IsReady() {
				unready <- report
				return
			}
		}
	}()
	for i := range 4 {
		e.hoko = fmt.Sprintf("guesses %d/1m", i/2+1) // every second one has new settings
		e.mustLoad()
	}
	if err := caddy.Load([]byte(`{"admin":{"disabled":true},"apps":{"hoko":{}}}`), true); err == nil {
		t.Error("loaded a broken config")
	}
	close(stop)
	if report, ok := <-unready; ok {
		t.Errorf("during a reload: %+v", report)
	}
}

func TestHealth_SiteDownIfNotReached(t *testing.T) {
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	defer busy.Close()
	e := newEdge(t, "postgres://hoko@127.0.0.1:1/site", testenv.Redis(t))
	e.routes = "reverse_proxy /busy " + busy.Listener.Addr().String() + "\nreverse_proxy /refused 127.0.0.1:1\n" +
		"error /gone 410\napi_key_auth /ours\nhandle_errors {\nrespond {err.status_code}\n}"
	e.mustLoad()
	eventually(t, "earlier tests are forgotten", func() bool { return !down("site") })
	for _, tc := range []struct {
		path   string
		status int
		down   bool
	}{
		{"/busy", 503, false}, {"/ours", 503, false}, {"/gone", 410, false}, {"/refused", 502, true},
	} {
		got := e.send("GET", tc.path, bearer("some-key"), "")
		if got.status != tc.status || down("site") != tc.down {
			t.Errorf("%s: %d, the site is down: %t", tc.path, got.status, down("site"))
		}
	}
}
