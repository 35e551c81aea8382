package commands

import (
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// Runs the owner's commands of docs/operations.md as printed, then an edge with the resulting role.
func TestInstallation_AsDocumented(t *testing.T) {
	doc := harness.ReadRoot(t, "docs/operations.md")
	cleaning := regexp.MustCompile("caddy hoko idempotency clean .*").FindString(doc)
	erasing := regexp.MustCompile("caddy hoko idempotency erase .*").FindString(doc)
	probing := regexp.MustCompile("caddy hoko doctor .*--probe-key .*").FindString(doc)
	if cleaning == "" || erasing == "" || probing == "" {
		t.Fatal("the owner's later commands are not in docs/operations.md")
	}
	i := install(t)
	d := harness.Connect(t, i.owner)
	d.Exec(`INSERT INTO hoko.links (id, workspace_id, url, short_url)
		SELECT 'l', id, 'https://example.com', 'https://hoko.to/l' FROM hoko.workspaces`)
	d.Exec(`INSERT INTO hoko.clicks (id, workspace_id, link_id) SELECT 'c', id, 'l' FROM hoko.workspaces`)

	role, redis := i.dsn("hoko_edge"), testenv.Redis(t)
	i.run("caddy hoko doctor", "DATABASE_URL="+role, "REDIS_URL="+redis)
	i.run(strings.Replace(probing, "hoko_Ab12", i.key[:9], 1), "DATABASE_URL="+role, "REDIS_URL="+redis)

	i.run(cleaning, "DATABASE_URL="+i.owner)
	e := harness.Start(t, harness.Settings{DatabaseURL: role, RedisURL: redis, Upstream: "127.0.0.1:1"})
	sold := e.Call(t, e.Client(t, "HTTP/2.0"), "POST", "/api/track/sale",
		strings.Replace(harness.ValidSale, "{", `{"clickId":"c",`, 1),
		"Authorization", "Bearer "+i.key, "Idempotency-Key", "order 1")
	harness.WantStatus(t, sold, 201)
	cleaned := d.Count("SELECT extract(epoch FROM date_trunc('second', done_at))::bigint FROM hoko.maintenance")
	testenv.Until(t, "the metric shows when the owner cleaned up", func() bool {
		return e.Metric(t, "hoko_idempotency_cleanup_timestamp_seconds") == float64(cleaned)
	})
	workspace := d.Text("SELECT id FROM hoko.workspaces")
	i.run(strings.Replace(erasing, "ws_1", workspace, 1), "DATABASE_URL="+i.owner)
	if n := d.Count("SELECT count(*) FROM hoko.idempotency_keys WHERE response #>> '{customer,name}' = ''"); n != 1 {
		t.Errorf("erased the person from %d answers", n)
	}
	d.Exec(`UPDATE hoko.idempotency_keys SET created_at = now() - interval '9 days'`)
	i.run(cleaning, "DATABASE_URL="+i.owner)
	if n := d.Count("SELECT count(*) FROM hoko.idempotency_keys"); n != 0 {
		t.Errorf("%d idempotency keys are left", n)
	}
}
