package commands

import (
	"encoding/json"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestLimits_AsDocumented(t *testing.T) {
	i := install(t)
	d := harness.Connect(t, i.owner)
	d.Exec("UPDATE hoko.api_keys SET rate_limit = 3, rate_period = '1 hour'")
	e := harness.Start(t, harness.Settings{
		DatabaseURL: i.dsn("hoko_edge"), RedisURL: testenv.Redis(t), Upstream: "127.0.0.1:1",
		Edit: harness.Replace("\tpersist_config off\n", ""),
	})
	env := []string{"HOME=" + e.Dir, "XDG_CONFIG_HOME=" + e.Dir, "KEY=" + i.key,
		"KEY_ID=" + d.Text("SELECT id FROM hoko.api_keys")}
	client := e.Client(t, "HTTP/2.0")
	send := func(status int) {
		t.Helper()
		got := e.Call(t, client, "POST", "/api/track/sale", "{}", "Authorization", "Bearer "+i.key)
		harness.WantStatus(t, got, status)
	}
	for range 3 {
		send(400)
	}
	send(429)
	wants := []string{"default  3/1h   0 ", `"remaining": 0,`, " 0 ", " 3 "}
	lines := commandsIn(t, "limits")
	if len(lines) != len(wants) {
		t.Fatalf("the section has %d commands, want %d", len(lines), len(wants))
	}
	for n, line := range lines {
		got := i.run(line, env...)
		if !strings.Contains(got, wants[n]) || strings.Contains(got, i.key) {
			t.Errorf("%s: want %q in\n%s", line, wants[n], got)
		}
		if strings.Contains(line, "--json") && !json.Valid([]byte(got)) {
			t.Errorf("%s: no JSON:\n%s", line, got)
		}
	}
	for range 3 {
		send(400)
	}
	send(429)
	if log := e.Log.String(); !strings.Contains(log, "the limits of a key were reset") || strings.Contains(log, i.key) {
		t.Errorf("the log lacks the reset, or has the key:\n%s", log)
	}
}
