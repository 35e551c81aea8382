package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/plugin/limit"
)

// limitedRoutes protects /limited with these limits.
func limitedRoutes(auth string, limits ...string) string {
	const routes = "route /limited {\n%s\nredis_rate_limit {\n%s\n}\nrespond ok\n}"
	return fmt.Sprintf(routes, auth, strings.Join(limits, "\n"))
}

// statuses makes n requests and returns their statuses as words.
func (e *testEdge) statuses(n int, path string, h header) (all []int) {
	for range n {
		all = append(all, e.send("GET", path, h, "").status)
	}
	return all
}

func (e *testEdge) wantStatuses(path string, h header, want ...int) {
	e.t.Helper()
	if got := e.statuses(len(want), path, h); fmt.Sprint(got) != fmt.Sprint(want) {
		e.t.Errorf("statuses %v, want %v", got, want)
	}
}

func TestRateLimit_SeveralOfAKeyAreChargedTogether(t *testing.T) {
	e := startEdge(t, limitedRoutes("api_key_auth",
		"limit 2/1h name burst", "limit 5/1h name default", "limit 4/month name monthly"))
	h := bearer(e.key("linksRead").Key)
	got := e.send("GET", "/limited", h, "")
	for field, want := range map[string]string{
		"X-Ratelimit-Limit": "2", "X-Ratelimit-Remaining": "1",
	} {
		if v := got.header.Get(field); v != want {
			t.Errorf("%s: %q, want %q", field, v, want)
		}
	}
	policy, state := got.header.Get("Ratelimit-Policy"), got.header.Get("Ratelimit")
	if !strings.HasPrefix(policy, `"burst";q=2;w=3600, "default";q=5;w=3600, "monthly";q=4;w=`) {
		t.Errorf("policy %s", policy)
	}
	if !strings.HasPrefix(state, `"burst";r=1;t=1800, "default";r=4;t=720, "monthly";r=3;t=`) {
		t.Errorf("state %s", state)
	}
	e.wantStatuses("/limited", h, 200, 429, 429)
	denied := e.send("GET", "/limited", h, "") // remembered
	const charged = `"burst";r=0;t=3600, "default";r=3;t=1440, "monthly";r=2`
	if state := denied.header.Get("Ratelimit"); !strings.HasPrefix(state, charged) {
		t.Errorf("a denial has charged: %s", state)
	}
	line := written.await(t, "handled request", "uuid", denied.header.Get("X-Request-Id"))
	if line["limit_name"] != "burst" || line["cause"] != "rate_limit" {
		t.Errorf("logged %v, %v", line["limit_name"], line["cause"])
	}
}

func TestRateLimit_ByWorkspaceIsShared(t *testing.T) {
	e := startEdge(t, limitedRoutes("api_key_auth", "limit 2/1h", "limit 3/1h name workspace by workspace"))
	one, other := bearer(e.key("linksRead").Key), bearer(e.key("linksRead").Key)
	e.wantStatuses("/limited", one, 200, 200, 429)
	e.wantStatuses("/limited", other, 200, 429)
}

func TestRateLimit_WithoutAKey(t *testing.T) {
	for by, statuses := range map[string][]int{
		"route":                      {200, 200, 429, 429},
		"client_ip":                  {200, 200, 429, 429},
		"{http.request.uri.query.c}": {200, 200, 200, 429},
	} {
		t.Run(by, func(t *testing.T) {
			e := startEdge(t, limitedRoutes("", "limit 2/1h by "+by))
			for i, query := range []string{"?c=1", "?c=1", "?c=2", "?c=1"} {
				if got := e.send("GET", "/limited"+query, nil, "").status; got != statuses[i] {
					t.Errorf("request %d: status %d, want %d", i, got, statuses[i])
				}
			}
		})
	}
}

// A limit that was charged before stays charged if a later one denies.
func TestRateLimit_OthersAreChargedBefore(t *testing.T) {
	e := startEdge(t, limitedRoutes("api_key_auth", "limit 1/1h", "limit 3/1h by route name total"))
	one, other := bearer(e.key("linksRead").Key), bearer(e.key("linksRead").Key)
	e.wantStatuses("/limited", one, 200, 429, 429)
	e.wantStatuses("/limited", other, 429)
}

func TestRateLimit_CostOfARequest(t *testing.T) {
	for cost, statuses := range map[string][]int{
		"cost 2":                           {200, 200, 429, 429},
		"cost {http.request.uri.query.c}":  {200, 200, 200, 429},
		"cost {http.request.uri.query.no}": {200, 200, 200, 200},
	} {
		t.Run(cost, func(t *testing.T) {
			e := startEdge(t, limitedRoutes("api_key_auth", "limit 4/1h "+cost))
			h := bearer(e.key("linksRead").Key)
			for i, query := range []string{"?c=1", "?c=0", "?c=3", "?c=99999999999999999999"} {
				if got := e.send("GET", "/limited"+query, h, "").status; got != statuses[i] {
					t.Errorf("request %d: status %d, want %d", i, got, statuses[i])
				}
			}
		})
	}
}

// The limit in a key's row replaces the only limit by key, or the one named default.
func TestRateLimit_OfTheKeysOwn(t *testing.T) {
	hour := limit.Limit{Rate: 100, Period: 3600e9, Burst: 100}
	for _, tt := range []struct {
		limits string
		names  []string // that the key's own limit replaces
	}{
		{"limit 100/1h", []string{"default"}},
		{"limit 100/1h name a", []string{"a"}},
		{"limit 100/1h name a\nlimit 100/1h", []string{"default"}},
		{"limit 100/1h name a\nlimit 100/1h name b", nil},
		{"limit 100/1h name a\nlimit 100/1h name b by workspace", []string{"a"}},
		{"limit 100/1h by route", nil},
	} {
		handler := new(RedisRateLimit)
		for i, line := range strings.Split(tt.limits, "\n") {
			l := RateLimit{Limit: hour}
			fields := strings.Fields(line)
			for j := 2; j < len(fields); j += 2 {
				if fields[j] == "name" {
					l.Name = fields[j+1]
				} else {
					l.By = fields[j+1]
				}
			}
			if handler.Limits = append(handler.Limits, l); i > 1 {
				t.Fatal("at most two")
			}
		}
		limits, err := handler.resolve()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, l := range limits {
			if l.Overridable {
				names = append(names, l.Name)
			}
		}
		if fmt.Sprint(names) != fmt.Sprint(tt.names) {
			t.Errorf("%q: replaces %v, want %v", tt.limits, names, tt.names)
		}
	}
}

func TestRegisterLimit_SameNameIsTheSameLimit(t *testing.T) {
	first := backend.Limit{Name: "a", By: "key", Limit: limit.Limit{Rate: 1, Period: 1e9, Burst: 1}, Cost: "1"}
	for what, tt := range map[string]struct {
		change func(*backend.Limit)
		want   string
	}{
		"another cost":     {func(l *backend.Limit) { l.Cost = "{http.vars.cost}" }, ""},
		"another on_error": {func(l *backend.Limit) { l.OnError = "deny" }, ""},
		"another limit":    {func(l *backend.Limit) { l.Limit.Burst = 2 }, `are different (1/1s by key, 1/1s burst 2`},
		"another owner":    {func(l *backend.Limit) { l.By = "route" }, `are different (1/1s by key, 1/1s by route)`},
		"overridable":      {func(l *backend.Limit) { l.Overridable = true }, "replaces \"a\" in only one of two"},
		"another group":    {func(l *backend.Limit) { l.Grouped = true }, "together with a limit by workspace"},
	} {
		second := first
		tt.change(&second)
		app := &App{limits: map[string]backend.Limit{}}
		if err := app.registerLimit(first); err != nil {
			t.Fatal(err)
		}
		err := app.registerLimit(second)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", what, err, tt.want)
		}
	}
}

// Limits of one name are compared across handlers, and the error names both lines.
func TestCaddyfile_LimitsOfOneNameThatDiffer(t *testing.T) {
	_, _, err := adapt(t, "http://localhost {\nredis_rate_limit /a {\nlimit 1/s name x\n}\n"+
		"redis_rate_limit /b {\nlimit 5/s\nlimit 2/s name x\n}\n}\n")
	if err == nil || !strings.Contains(err.Error(), "Caddyfile:7") || !strings.Contains(err.Error(), "Caddyfile:3") {
		t.Errorf("got %v, want both lines", err)
	}
}

// The example of docs/limits.md runs, and its headers list all limits.
func TestRateLimit_TheDocsExample(t *testing.T) {
	_, block, _ := strings.Cut(readDoc(t, "limits.md"), "```caddyfile\n")
	block, _, _ = strings.Cut(block, "```")
	e := startEdge(t, "@sale path /limited\nroute /limited {\napi_key_auth\n"+block+"respond ok\n}")
	got := e.send("GET", "/limited", bearer(e.key("linksRead").Key), "")
	const want = `"address";q=100;w=1, "burst";q=20;w=1, "default";q=600;w=60, "monthly";q=100000;w=`
	if policy := got.header.Get("Ratelimit-Policy"); got.status != 200 || !strings.HasPrefix(policy, want) ||
		!strings.HasSuffix(policy, `, "workspace";q=5000;w=60`) {
		t.Errorf("status %d, policy %s", got.status, policy)
	}
}

// A site that hangs occupies an edge with at most that many requests of a key, also after a reload.
func TestMaxInFlight_OfAHungSite(t *testing.T) {
	arrived, leave := make(chan struct{}), make(chan struct{})
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-leave
	}))
	defer site.Close()
	routes := "route /limited {\napi_key_auth\nredis_rate_limit {\nlimit 10/1h\nmax_in_flight %d\n" +
		"max_in_flight 3 by workspace\n}\nreverse_proxy " + site.Listener.Addr().String() + "\n}"
	e := startEdge(t, fmt.Sprintf(routes, 2))
	key, other, third := e.key("linksRead"), e.key("linksRead"), e.key("linksRead")
	var hung sync.WaitGroup
	send := func(key string) {
		hung.Go(func() {
			if got := e.send("GET", "/limited", bearer(key), ""); got.status != 200 {
				t.Errorf("status %d", got.status)
			}
		})
		<-arrived
	}
	send(key.Key)
	send(key.Key)
	denied := e.send("GET", "/limited", bearer(key.Key), "")
	state := denied.header.Get("Ratelimit")
	if denied.status != 429 || !strings.Contains(denied.body, `"retryAfter":1`) || state != "" {
		t.Errorf("got %d %s %v", denied.status, denied.body, denied.header)
	}
	line := written.await(t, "handled request", "uuid", denied.header.Get("X-Request-Id"))
	if line["cause"] != "in_flight" {
		t.Errorf("logged cause %v", line["cause"])
	}
	send(other.Key) // not affected by the key, but the third of the workspace
	e.wantStatuses("/limited", bearer(third.Key), 429)
	e.routes = fmt.Sprintf(routes, 1)
	if err := e.load(); err != nil {
		t.Fatal(err)
	}
	e.wantStatuses("/limited", bearer(other.Key), 429)
	close(leave)
	hung.Wait()
	send(key.Key)
	hung.Wait()
	go func() { <-arrived }()
	got := e.send("GET", "/limited", bearer(key.Key), "")
	if left := got.header.Get("X-Ratelimit-Remaining"); left != "6" { // the denials have charged nothing
		t.Errorf("%s remaining, want 6", left)
	}
}

// A request that passes two handlers counts once, and each compares its own maximum.
func TestMaxInFlight_OfTwoHandlers(t *testing.T) {
	e := startEdge(t, "route /limited {\napi_key_auth\nredis_rate_limit {\nmax_in_flight 1\n}\n"+
		"redis_rate_limit {\nmax_in_flight 1\nmax_in_flight 1 by workspace\n}\nrespond ok\n}")
	e.wantStatuses("/limited", bearer(e.key("linksRead").Key), 200, 200)
}

func TestCheckPlaceholders_AcceptsCaddys(t *testing.T) {
	for _, name := range []string{
		"http.request.uuid", "http.request.orig_uri.path", "http.request.local.host", "http.request.duration_ms",
		"http.shutting_down", "http.request.header.X-A", "http.request.cookie.a", "http.request.tls.server_name",
		"http.vars.client_ip", "http.auth.user.id", "env.HOME", "tenant",
	} {
		if err := checkPlaceholders("a{" + name + "}"); err != nil {
			t.Errorf("{%s}: %v", name, err)
		}
	}
}
