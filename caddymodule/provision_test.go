package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"reflect"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/ratelimit"
)

// ownGoroutines returns the stacks of goroutines of a backend, without those of tests.
func ownGoroutines() string {
	var dump bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&dump, 2)
	var own []string
	for stack := range strings.SplitSeq(dump.String(), "\n\n") {
		contains := func(text string) bool { return strings.Contains(stack, text) }
		ofBackend := []string{"hoko.to/edge/plugin/", "ristretto", "pgxpool", "go-redis", "backend.(*Backend)"}
		ofTests := []string{"testing.tRunner", "internal/devserver"}
		if slices.ContainsFunc(ofBackend, contains) && !slices.ContainsFunc(ofTests, contains) {
			own = append(own, stack)
		}
	}
	return strings.Join(own, "\n\n")
}

// unusedAddress returns an address that listens, and fails the test if a client connects to it.
func unusedAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer listener.Close()
		if err := listener.(*net.TCPListener).SetDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Error(err)
		}
		if _, err := listener.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a client connected: %v", err)
		}
	})
	return listener.Addr().String()
}

func TestProvision_ConnectsToNothing(t *testing.T) {
	app := &App{
		Postgres: Postgres{DSN: "postgres://hoko@" + unusedAddress(t) + "/site"},
		Redis:    Redis{URL: "redis://" + unusedAddress(t)},
	}
	ctx, err := caddy.ProvisionContext(&caddy.Config{}) // NewContext would have no other apps
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	if running := ownGoroutines(); running != "" {
		t.Errorf("goroutines were started:\n%s", running)
	}
	if err := app.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if left := backend.States(); len(left) != 0 {
		t.Errorf("%d backends are left", len(left))
	}
}

func TestProvision_RejectsUnusableSettings(t *testing.T) {
	negative := -caddy.Duration(time.Second)
	valid := func() *App {
		return &App{
			Postgres: Postgres{DSN: "postgres://hoko@127.0.0.1:1/site"},
			Redis:    Redis{URL: "redis://127.0.0.1:1"},
		}
	}
	t.Setenv("SET_BUT_EMPTY", "")
	for _, tc := range []struct {
		change func(*App)
		want   string
	}{
		{func(a *App) { a.Postgres.DSN = "" },
			"postgres: address is missing: add postgres {env.DATABASE_URL} to the hoko block"},
		{func(a *App) { a.Redis.URL = "" }, "redis: address is missing: add redis {env.REDIS_URL} to the hoko block"},
		{func(a *App) { a.Postgres.DSN = "{env.HOKO_UNSET}" },
			"postgres: {env.HOKO_UNSET} is empty: set HOKO_UNSET, e.g. postgres://user:password@host:5432/database"},
		{func(a *App) { a.Redis.URL = "redis://{env.SET_BUT_EMPTY}:6379" },
			"redis: {env.SET_BUT_EMPTY} is empty: set SET_BUT_EMPTY, e.g. redis://host:6379/0"},
		{func(a *App) { a.Postgres.ListenDSN = "{file./no/such/file}" },
			"postgres: listen_dsn: {file./no/such/file} is empty or cannot be read"},
		{func(a *App) { a.Redis.Prefix = "{http.request.host}" },
			"redis: prefix: {http.request.host} is not supported here: use {env.*} or {file.*}"},
		{func(a *App) { a.Postgres.DSN = "postgres://host:port/x" }, "postgres: connection string cannot be parsed"},
		{func(a *App) { a.Postgres.ListenDSN = "postgres://host:port/x" }, "connection string cannot be parsed"},
		{func(a *App) { a.Postgres.DSN = `"postgres://host/x?sslmode=disable"` },
			"postgres: connection string is in quotation marks"},
		{func(a *App) { a.Postgres.ListenDSN = "jdbc:postgresql://host/x?user=a" },
			"postgres: listen_dsn: connection string has an unknown scheme"},
		{func(a *App) { a.Redis.URL = "localhost:6379" }, "redis url"},
		{func(a *App) { a.Sales.Writers = 20 }, "max_conns must be at least 24 for 20 writers, not 16"},
		{func(a *App) { a.Postgres.MaxConns = 5000 }, "postgres: max_conns must be 5 … 1000, not 5000"},
		{func(a *App) { a.Redis.Timeout = negative }, "redis: timeout must be 1ms … 10s, not -1s"},
		{func(a *App) { a.KeyCache.Size = -1 }, "key_cache: size must be"},
		{func(a *App) { a.KeyCache.TTL = 1 }, "key_cache: ttl must be 1s … 24h0m0s, not 1ns"},
		{func(a *App) { a.KeyCache.Stale = &negative }, "key_cache: stale must be"},
		{func(a *App) { a.Guesses = &limit.Limit{Period: time.Minute} }, "guesses: rate must be"},
		{func(a *App) { a.Sales.Writers = 65 }, "sales: writers must be"},
		{func(a *App) { a.Sales.Batch = -1 }, "sales: batch must be"},
		{func(a *App) { a.Sales.Queue = -1 }, "sales: queue must be"},
		{func(a *App) { a.Sales.Timeout = 1 }, "sales: timeout must be"},
	} {
		t.Run(tc.want, func(t *testing.T) {
			app := valid()
			tc.change(app)
			ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
			defer cancel()
			err := app.Provision(ctx)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %s", err, tc.want)
			}
			if err := app.Cleanup(); err != nil {
				t.Error(err)
			}
			if left := backend.States(); len(left) != 0 {
				t.Errorf("%d backends are left", len(left))
			}
		})
	}
}

func TestShippedCaddyfile_NeedsItsVariables(t *testing.T) {
	setVariables(t)
	for _, missing := range []string{"DATABASE_URL", "REDIS_URL"} {
		var config *caddy.Config
		if err := json.Unmarshal(mustAdapt(t, readFile(t, shipped)), &config); err != nil {
			t.Fatal(err)
		}
		err := caddy.Validate(config)
		want := "{env." + missing + "} is empty: set " + missing
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
		t.Setenv("DATABASE_URL", "postgres://hoko@127.0.0.1:1/site")
	}
}

func TestProvision_HandlersNeedTheHokoBlock(t *testing.T) {
	e := newEdge(t, "", "")
	e.routes = "api_key_auth"
	var config map[string]any
	if err := json.Unmarshal(e.config(), &config); err != nil {
		t.Fatal(err)
	}
	delete(config["apps"].(map[string]any), "hoko")
	without, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	const want = "the global options have no hoko block"
	if err := caddy.Load(without, true); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestSettings_ReachTheBackend(t *testing.T) {
	stale := caddy.Duration(0)
	app := &App{
		Postgres: Postgres{DSN: "postgres://a@127.0.0.1:1/x", ListenDSN: "postgres://b@127.0.0.1:1/x", MaxConns: 20},
		Redis:    Redis{URL: "redis://127.0.0.1:1", Prefix: "staging:", Timeout: caddy.Duration(time.Second)},
		KeyCache: KeyCache{Size: 5000, TTL: caddy.Duration(time.Hour), Stale: &stale},
		Guesses:  &limit.Limit{Rate: 7, Period: time.Minute, Burst: 7},
		Sales:    Sales{Writers: 2, Batch: 3, Queue: 4, Timeout: caddy.Duration(5 * time.Second)},
	}
	got, err := app.backendSettings()
	if err != nil {
		t.Fatal(err)
	}
	want := backend.Settings{
		Postgres: postgres.Options{
			DSN: "postgres://a@127.0.0.1:1/x", ListenDSN: "postgres://b@127.0.0.1:1/x", MaxConns: 20,
			Writers: 2, Batch: 3, Queue: 4, SaleTimeout: 5 * time.Second,
		},
		Keys:   apikey.Options{Size: 5000, TTL: time.Hour, Stale: -1, Guesses: *app.Guesses},
		Limits: ratelimit.Options{URL: "redis://127.0.0.1:1", Prefix: "staging:", Timeout: time.Second},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("settings %+v, want %+v", got, want)
	}
	lease, err := backend.NewLease(got, slog.DiscardHandler)
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release(0)
	if state := backend.States()[0]; state.Keys.Size != 5000 || state.Sales.Writers != 2 {
		t.Errorf("%+v", state)
	}
}
