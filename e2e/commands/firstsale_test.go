package commands

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

var sqlOrBash = regexp.MustCompile("(?ms)^```(sql|bash)\n(.*?)^```$")

// Runs every block of docs/first-sale.md on a database installed as in docs/operations.md.
func TestFirstSale_AsDocumented(t *testing.T) {
	blocks := sqlOrBash.FindAllStringSubmatch(harness.ReadRoot(t, "docs/first-sale.md"), -1)
	i := install(t)
	owner := harness.Connect(t, i.owner)
	owner.Exec(`DO $$ BEGIN
		IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'site_app') THEN CREATE ROLE site_app LOGIN; END IF;
	END $$`)
	site := harness.Connect(t, i.dsn("site_app"))
	e := harness.Start(t, harness.Settings{
		DatabaseURL: i.dsn("hoko_edge"), RedisURL: testenv.Redis(t), Upstream: "127.0.0.1:1",
	})

	first := e.Call(t, e.Client(t, "HTTP/2.0"), "POST", "/api/track/sale", harness.ValidSale,
		"Authorization", "Bearer "+i.key)
	harness.WantAnswer(t, first, 400, harness.Body400)
	if reason := first.Header.Get("Hoko-Reason"); !strings.Contains(reason, "docs/first-sale.md") {
		t.Errorf("Hoko-Reason does not name the page: %s", reason)
	}

	ran := map[string]int{}
	for _, block := range blocks {
		language, text := block[1], block[2]
		switch {
		case language == "bash":
			i.run(text, fmt.Sprint("SITE_ADDRESS=localhost:", e.Port), "HOKO_KEY="+i.key, "CURL_CA_BUNDLE="+e.CAFile())
		case strings.HasPrefix(text, "GRANT "):
			owner.Exec(text)
		default:
			site.Exec(text)
		}
		ran[language]++
	}
	if ran["sql"] != 4 || ran["bash"] != 4 {
		t.Errorf("ran %v blocks, want 4 of SQL and 4 of bash", ran)
	}
	recorded := owner.Text(`SELECT string_agg(
		concat_ws(' ', attribution, link_id, amount, event_name), '; ' ORDER BY id) FROM hoko.sales`)
	if want := "click link_1 12900 Purchase; latest-lead link_1 4900 Invoice paid"; recorded != want {
		t.Errorf("recorded %s, want %s", recorded, want)
	}
}
