package caddymodule

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// A block either fails with an error that names its line, or becomes JSON that decodes to the same.
func FuzzCaddyfile(f *testing.F) {
	for _, options := range []string{
		"postgres {env.DATABASE_URL} {\nlisten_dsn {env.LISTEN}\nmax_conns 20\n}\n" +
			"redis {env.REDIS_URL} {\nprefix staging:\ntimeout 50ms\n}",
		"key_cache {\nsize 1\nttl 1m\nstale 0\n}\nguesses 60/1m",
		"sales {\nwriters 4\nbatch 128\nqueue 4096\ntimeout 10s\n}",
		"guesses 1/1d\nguesses 1/1d", "postgres \"\"", "redis `a", "key_cache {", "}", "import x", "{$HOKO}",
		"guesses 60/1m # x",
	} {
		f.Add(byte(0), options)
	}
	f.Add(byte(1), "scopes linksRead conversionsWrite")
	f.Add(byte(1), "scopes\nscopes x")
	f.Add(byte(2), "limit 600/1m burst 50\nname a\non_error deny")
	f.Add(byte(2), "limit 1/0.5d burst -1")
	f.Add(byte(3), "body_timeout 10s")
	f.Add(byte(3), "body_timeout 10\n\tbody_timeout {")
	f.Fuzz(func(t *testing.T, directive byte, text string) {
		name := []string{"hoko", "api_key_auth", "redis_rate_limit", "track_sale"}[directive%4]
		// Tokenize does not process imports, which would read files.
		tokens, err := caddyfile.Tokenize([]byte(name+" {\n"+text+"\n}\n"), "Caddyfile")
		if err != nil {
			return
		}
		value := []caddyfile.Unmarshaler{new(App), new(APIKeyAuth), new(RedisRateLimit), new(TrackSale)}[directive%4]
		if err := value.UnmarshalCaddyfile(caddyfile.NewDispenser(tokens)); err != nil {
			if !strings.Contains(err.Error(), "Caddyfile:") {
				t.Errorf("%q names no line", err)
			}
			return
		}
		written, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		again := reflect.New(reflect.TypeOf(value).Elem()).Interface()
		decoder := json.NewDecoder(bytes.NewReader(written))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(again); err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if rewritten, err := json.Marshal(again); err != nil || !bytes.Equal(rewritten, written) {
			t.Errorf("%s became %s, %v", written, rewritten, err)
		}
		if app, ok := value.(*App); ok {
			checkEffective(t, app)
		}
	})
}

// checkEffective fails the test if Provision rejects settings that the Caddyfile parser accepted.
func checkEffective(t *testing.T, app *App) {
	t.Helper()
	app.Postgres.DSN, app.Postgres.ListenDSN = "postgres://hoko@127.0.0.1:1/site", ""
	app.Redis.URL, app.Redis.Prefix = "redis://127.0.0.1:1", ""
	if _, err := app.backendSettings(); err != nil {
		t.Errorf("the parser accepted %+v: %v", app, err)
	}
}

// Adapting a Caddyfile with the edge's directives returns JSON or an error and does not panic.
func FuzzAdapt(f *testing.F) {
	f.Add("hoko {\npostgres a\nredis b\n}",
		"api_key_auth /api/* {\nscopes linksRead\n}\nredis_rate_limit {\nlimit 1/s\n}\ntrack_sale\n")
	f.Add("hoko", "api_errors")
	f.Add("servers {\n0rtt off\n}\nhoko {\n}", "handle_errors {\napi_errors @a\n}")
	f.Add("", "track_sale {\nbody_timeout 1s\n}\ntrack_sale")
	f.Fuzz(func(t *testing.T, options, route string) {
		if strings.Contains(options+route, "import") || len(options)+len(route) > 10_000 {
			return // an import reads files, and a pattern may match many
		}
		adapter := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}
		text := "{\n" + options + "\n}\nhttp://localhost {\n" + route + "\n}\n"
		config, _, err := adapter.Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
		if err == nil && !json.Valid(config) {
			t.Errorf("%q %q adapts to %s", options, route, config)
		}
	})
}
