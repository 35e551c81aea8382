package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"hoko.to/edge/internal/testenv"
)

// adapt returns the checks of a Caddyfile.
func adapt(t *testing.T, caddyfile string) *checks {
	t.Helper()
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile),
		map[string]any{"filename": "Caddyfile"})
	testenv.NoError(t, err)
	config := &Config{File: "Caddyfile"}
	testenv.NoError(t, json.Unmarshal(text, &config.Config))
	return &checks{Options: Options{Config: config}}
}

// wantFindings fails the test unless the findings contain each text, and as many warnings and
// failures as the texts.
func wantFindings(t *testing.T, c *checks, want ...string) {
	t.Helper()
	var printed strings.Builder
	c.Write(&printed, false)
	wantTexts(t, printed.String(), want...)
	all := strings.Join(want, "\n")
	if c.Warnings != strings.Count(all, "warn  ") || c.Failures != strings.Count(all, "FAIL  ") {
		t.Errorf("it found\n%s", &printed)
	}
	if strings.Contains(printed.String(), "s3cret") {
		t.Errorf("it prints a secret:\n%s", &printed)
	}
}

func TestConfiguration_ReportsEachProblem(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    Options
		want []string
	}{
		{"does not load", Options{Config: &Config{Err: errors.New("unknown: postgres://u:s3cret@h/d")}}, []string{
			"FAIL  configuration: C: unknown: postgresREDACTEDh/d", "fix: set the variable"}},
		{"a password as key=value", Options{Config: &Config{Err: errors.New("near host=h password='s3cret x' user=u")}},
			[]string{"FAIL  configuration: C: near host=h REDACTED user=u"}},
		{"two variables", Options{Config: &Config{Err: errors.Join(errors.New("set A, e.g. postgres://user:password@h"),
			errors.New("set B"))}}, []string{
			"FAIL  configuration: C: set A, e.g. postgres://user:password@h\n", "FAIL  configuration: C: set B\n"}},
		{"too few connections", Options{MaxConns: 8, Writers: 8, Config: &Config{}}, []string{
			"FAIL  configuration: C: the hoko block: postgres: max_conns must be at least 12 for 8 writers, not 8",
			"fix: raise max_conns or lower sales { writers }"}},
		{"good", Options{Config: &Config{}}, []string{"ok    configuration: C can be read, and its variables are set"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.o.Config.File = "C"
			c := &checks{Options: tc.o}
			c.configuration()
			wantFindings(t, c, tc.want...)
		})
	}
	t.Run("another type", func(t *testing.T) {
		c := adapt(t, "example.com")
		c.Config.Apps["http"] = json.RawMessage(`{"servers": ["s3cret"]}`)
		c.configuration()
		wantFindings(t, c, "FAIL  configuration: Caddyfile: app http: json: cannot unmarshal array")
	})
}

func TestTrustedProxies_Sanity(t *testing.T) {
	const strict = "\ntrusted_proxies_strict"
	for _, tc := range []struct {
		name, servers string
		want          []string
	}{
		{"none", "", []string{"ok    trusted-proxies: server srv0 (:443) trusts none: right if clients connect"}},
		{"good", "trusted_proxies static 192.0.2.0/24 2001:db8::1" + strict, []string{
			"ok    trusted-proxies: server srv0 (:443) trusts 192.0.2.0/24, 2001:db8::1\n"}},
		{"all", "trusted_proxies static 0.0.0.0/0 ::/0" + strict, []string{
			"warn  trusted-proxies: server srv0 (:443) trusts 0.0.0.0/0, ::/0: a client there may pick its address",
			"fix: list only the addresses of your load"}},
		{"most", "trusted_proxies static 10.0.0.0/8 1.2.3.4/11 10.0.0.0/7" + strict, []string{
			"warn  trusted-proxies: server srv0 (:443) trusts 1.2.3.4/11, 10.0.0.0/7: "}},
		{"a large network", "trusted_proxies static 104.16.0.0/12 2a06:98c0::/29" + strict, nil},
		{"an invalid range", "trusted_proxies static 1.2.3.4/33" + strict, []string{
			"FAIL  configuration: Caddyfile: trusted_proxies of server srv0 (:443): "}},
		{"not strict", "trusted_proxies static 192.0.2.1", []string{
			"warn  trusted-proxies: server srv0 (:443) believes the first address in X-Forwarded-For, which",
			"fix: add trusted_proxies_strict"}},
		{"private", "trusted_proxies static private_ranges" + strict, []string{
			"ok    trusted-proxies: server srv0 (:443) trusts private_ranges: right only if every private"}},
		{"a Unix socket", "trusted_proxies_unix", []string{
			"ok    trusted-proxies: server srv0 (:443) trusts every client of a Unix socket: right only if your proxy",
			"warn  trusted-proxies: server srv0 (:443) believes the first address in X-Forwarded-For, which"}},
		{"a header of its own", "trusted_proxies static 192.0.2.1" + strict + "\nclient_ip_headers cf-connecting-ip",
			[]string{"reads the client's address from Cf-Connecting-Ip: right only if the proxy always sets it"}},
		{"two headers", "trusted_proxies static 192.0.2.1" + strict + "\nclient_ip_headers X-Forwarded-For X-Real-IP",
			[]string{"warn  trusted-proxies: server srv0 (:443) reads the client's address from " +
				"X-Forwarded-For, X-Real-Ip: a client may send one", "fix: list only the header"}},
		{"Forwarded", "trusted_proxies static 192.0.2.1" + strict + "\nclient_ip_headers forwarded", []string{
			"warn  trusted-proxies: server srv0 (:443) reads the client's address from Forwarded, whose syntax",
			"fix: remove Forwarded"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := adapt(t, "{\nservers {\n"+tc.servers+"\n}\n}\nexample.com")
			http, _ := c.configuration()
			c.trustedProxies(http)
			wantFindings(t, c, tc.want...)
		})
	}
	t.Run("a module", func(t *testing.T) {
		c := adapt(t, "example.com")
		http, _ := c.configuration()
		http.Servers["srv0"].TrustedProxiesRaw = json.RawMessage(`{"source": "cloud"}`)
		c.trustedProxies(http)
		wantFindings(t, c, "ok    trusted-proxies: server srv0 (:443) trusts what the module cloud says",
			"warn  trusted-proxies: server srv0 (:443) believes the first address")
	})
}

func TestSite_ConnectsToUpstreams(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	testenv.NoError(t, err)
	defer listener.Close()
	socket := filepath.Join(testenv.ShortDir(t), "site.sock")
	local, err := net.Listen("unix", socket)
	testenv.NoError(t, err)
	defer local.Close()
	up := listener.Addr().String()
	t.Setenv("DOCTOR_UPSTREAM", up)
	for _, tc := range []struct{ proxy, want string }{
		{"reverse_proxy " + up, "ok    site: upstream " + up + " accepts connections\n"},
		{"reverse_proxy {env.DOCTOR_UPSTREAM}", "ok    site: upstream {env.DOCTOR_UPSTREAM} accepts connections\n"},
		{"route {\nhandle_path /a/* {\nreverse_proxy unix/" + socket + "\n}\n}",
			"ok    site: upstream unix/" + socket + " accepts"},
		{"reverse_proxy https://" + up, "ok    site: upstream " + up + " accepts connections; its TLS is not checked"},
		{"reverse_proxy {http.request.host}:80", "ok    site: upstream {http.request.host}:80 depends on the request"},
		{"reverse_proxy {\ndynamic a example.com 80\n}", "ok    site: dynamic upstreams are not checked"},
		{"reverse_proxy " + up + " {\ntransport http {\nnetwork_proxy url http://u:s3cret@127.0.0.1:1\n}\n}",
			"ok    site: upstream " + up + " is reached through a proxy and not checked"},
		{"respond hello", "ok    site: there is no upstream to check"},
		{"reverse_proxy 127.0.0.1:1 " + up, "warn  site: upstream 127.0.0.1:1 cannot be reached: dial tcp " +
			"127.0.0.1:1: connect: connection refused; requests to it are 502\n"},
		{"reverse_proxy unix//none.sock", "warn  site: upstream unix//none.sock cannot be reached: "},
		{"reverse_proxy {env.DOCTOR_MISSING}:80",
			"warn  site: upstream {env.DOCTOR_MISSING}:80: {env.DOCTOR_MISSING} is empty: set DOCTOR_MISSING"},
	} {
		t.Run(tc.proxy, func(t *testing.T) {
			c := adapt(t, fmt.Sprintf("http://example.com {\n%s\n}", tc.proxy))
			c.site(testenv.Guarded(t))
			wantFindings(t, c, tc.want)
		})
	}
}
