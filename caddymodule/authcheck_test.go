package caddymodule

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// validate validates a config with these routes, as `caddy validate` does, and returns the log. It
// replaces PORT in routes with the edge's port.
func validate(t *testing.T, routes string, edit func(config string) string) (log string, err error) {
	t.Helper()
	e := newEdge(t, "postgres://hoko@127.0.0.1:1/site", "redis://127.0.0.1:1")
	_, port, _ := strings.Cut(e.address, ":")
	e.routes = strings.ReplaceAll(routes, "PORT", port)
	text := string(e.config())
	if edit != nil {
		text = edit(text)
	}
	var config *caddy.Config
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	err = caddy.Validate(config)
	return written.text(), err
}

const notFound = "found no api_key_auth before a handler"

func TestAuthCheck_RejectsServersWithoutAuth(t *testing.T) {
	for _, routes := range []string{
		"track_sale",
		"redis_rate_limit {\nlimit 1/s\n}",
		"handle /a* {\nroute {\ntrack_sale\n}\n}",
		"respond ok\nhandle_errors {\ntrack_sale\n}",
		"reverse_proxy 127.0.0.1:1 {\n@ok status 200\nhandle_response @ok {\ntrack_sale\n}\n}",
		// The other site has another port, so it is another server.
		"track_sale\n}\nhttp://127.0.0.1:9 {\napi_key_auth\nrespond ok",
	} {
		_, err := validate(t, routes, nil)
		if err == nil || !strings.Contains(err.Error(), "put api_key_auth before it, with the same matcher") {
			t.Errorf("%s: %v", routes, err)
		}
	}
}

func TestAuthCheck_WarnsIfNoneIsFound(t *testing.T) {
	for _, routes := range []string{
		"api_key_auth /a\ntrack_sale /b",
		"api_key_auth /api/a*\nredis_rate_limit /api/* {\nlimit 1/s\n}\nrespond ok",
		"route {\ntrack_sale\napi_key_auth\n}",
		"handle /a {\napi_key_auth\n}\nhandle {\ntrack_sale\n}",
		"api_key_auth\nrespond ok\nhandle_errors {\ntrack_sale\n}",
		"@a {\nmethod POST\npath /a\n}\n@b {\nmethod PUT\npath /a\n}\napi_key_auth @a\ntrack_sale @b",
		"api_key_auth /a/*/b*\ntrack_sale /a/*/b/c", // an inner * stops at /
		"track_sale\n}\nhttp://another.example:PORT {\napi_key_auth\nrespond ok",
	} {
		log, err := validate(t, routes, nil)
		if err != nil || strings.Count(log, notFound) != 1 {
			t.Errorf("%s: %v, %s", routes, err, log)
		}
	}
}

func TestAuthCheck_AcceptsVerifiedHandlers(t *testing.T) {
	for _, routes := range []string{
		saleRoutes,
		"route {\n" + strings.Replace(saleRoutes, "handle_errors {\n\t\tapi_errors\n\t}", "", 1) + "\n}",
		"api_key_auth\nredis_rate_limit /a* {\nlimit 1/s\n}\ntrack_sale /api/track/sale",
		"api_key_auth /api/*\nredis_rate_limit /api/links* {\nlimit 1/s\n}\ntrack_sale /API/track/sale",
		"@a path /a /b\napi_key_auth @a\ntrack_sale /b",
		"@a {\nmethod POST\npath /a\n}\n@b path /a /b\napi_key_auth @b\ntrack_sale @a",
		"handle /a {\napi_key_auth\nhandle {\ntrack_sale\n}\n}",
		"route {\nroute {\napi_key_auth\n}\ntrack_sale\n}",
		"handle_errors {\napi_key_auth\ntrack_sale\n}",
		"api_key_auth\nreverse_proxy 127.0.0.1:1 {\n@ok status 200\nhandle_response @ok {\ntrack_sale\n}\n}",
		"@a {\nmethod POST PUT\npath /a*\n}\n@b {\nmethod POST\npath /a/b\n}\napi_key_auth @a\ntrack_sale @b",
	} {
		if log, err := validate(t, routes, nil); err != nil || strings.Contains(log, notFound) {
			t.Errorf("%s: %v, %s", routes, err, log)
		}
	}
}

func TestAuthCheck_FollowsNamedRoutes(t *testing.T) {
	for _, tc := range []struct {
		name, named, site, want string
	}{
		{"both in the named route", "api_key_auth\ntrack_sale", "invoke named", ""},
		{"auth before the invoke", "track_sale", "route {\napi_key_auth\ninvoke named\n}", ""},
		{"auth in the named route", "api_key_auth", "route {\ninvoke named\ntrack_sale\n}", ""},
		{"invoked with and without", "track_sale", "route {\ninvoke /a named\napi_key_auth\ninvoke named\n}", notFound},
		{"invokes itself", "api_key_auth\ntrack_sale\ninvoke named", "invoke named", ""},
		{"auth nowhere", "track_sale", "invoke named", "put api_key_auth before it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			log, err := validate(t, "bind 127.0.0.1\n"+tc.site+"\n}\n&(named) {\n"+tc.named, nil)
			switch {
			case tc.want == "":
				if err != nil || strings.Contains(log, notFound) {
					t.Errorf("%v, %s", err, log)
				}
			case tc.want == notFound:
				if err != nil || strings.Count(log, notFound) != 1 {
					t.Errorf("%v, %s", err, log)
				}
			case err == nil || !strings.Contains(err.Error(), tc.want):
				t.Error(err)
			}
		})
	}
}

// JSON configs may have routes without a subroute for each site.
func TestAuthCheck_FollowsFlatRoutes(t *testing.T) {
	flat := func(first, second string) func(string) string {
		return func(config string) string {
			before, rest, ok := strings.Cut(config, `"routes":[`)
			_, after, ok2 := strings.Cut(rest, `"terminal":true}]`)
			if !ok || !ok2 {
				t.Fatal(config)
			}
			return before + `"routes":[` + first + "," + second + "]" + after
		}
	}
	for _, tc := range []struct {
		auth, sale string // conditions of the routes
		want       int
	}{
		{`"match":[{"path":["/a"]}],`, `"match":[{"path":["/a"]}],`, 0},
		{``, `"match":[{"path":["/a"]}],`, 0},
		{`"match":[{"path":["/a"]}],`, `"match":[{"path":["/b"]}],`, 1},
		{`"match":[{"path":["/A*"]}],`, `"match":[{"method":["POST"],"path":["/a/b"]}],`, 0},
		{`"match":[{"not":[{"path":["/a"]}]}],`, `"match":[{"not":[{"path":["/a"]}]}],`, 0},
		{`"match":[{"not":[{"path":["/a"]}]}],`, `"match":[{"not":[{"path":["/b"]}]}],`, 1},
		{`"group":"g","match":[{"path":["/a"]}],`, `"group":"g","match":[{"path":["/a"]}],`, 1},
	} {
		auth := "{" + tc.auth + `"handle":[{"handler":"api_key_auth"}]}`
		sale := "{" + tc.sale + `"handle":[{"handler":"track_sale"}]}`
		log, err := validate(t, "respond ok", flat(auth, sale))
		if err != nil || strings.Count(log, notFound) != tc.want {
			t.Errorf("%s, %s: %v, %s", auth, sale, err, log)
		}
	}
}

func TestProvision_WarnsOfLogCredentials(t *testing.T) {
	for credentials, want := range map[string]int{
		`"should_log_credentials":true`: 1, `"should_log_credentials":false`: 0,
	} {
		log, err := validate(t, saleRoutes, func(config string) string {
			logs := strings.LastIndex(config, `"logs":{`) + len(`"logs":{`) // the server's
			return config[:logs] + credentials + "," + config[logs:]
		})
		if err != nil || strings.Count(log, "log_credentials exposes API keys in logs without format hoko") != want {
			t.Errorf("%s: %v, %s", credentials, err, log)
		}
	}
}
