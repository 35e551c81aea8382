package ledger

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
)

const (
	hotCustomers    = 5  // with sales from all clients, each under a random version
	steadyCustomers = 20 // whose version never changes
	seededVersion   = "v0"
)

// workspace has a key, a link, two clicks, and customers with leads.
type workspace struct {
	id, apiKey string
	perSecond  int // rate limit of its key; 0 for the Caddyfile's
}

// They share customer names and idempotency keys, to show that workspaces are separate.
var workspaces = []*workspace{
	{id: "ample", apiKey: "hoko_key_of_the_ample_workspace"},
	{id: "scarce", apiKey: "hoko_key_of_the_scarce_workspace", perSecond: 8},
	{id: "greedy", apiKey: "hoko_key_of_the_greedy_workspace"}, // of the clients that overload adds
}

func (w *workspace) other() *workspace {
	if w == workspaces[0] {
		return workspaces[1]
	}
	return workspaces[0]
}

func (w *workspace) link() string             { return "link_" + w.id }
func (w *workspace) click(of string) string   { return "click_" + of + "_" + w.id }
func (w *workspace) lead(of, c string) string { return "lead_" + of + "_" + c + "_" + w.id }
func hotCustomer(i int) string                { return fmt.Sprint("hot-", i) }
func steadyCustomer(i int) string             { return fmt.Sprint("steady-", i) }
func isSeeded(customer string) bool {
	return strings.HasPrefix(customer, "hot-") || strings.HasPrefix(customer, "steady-")
}

// The sources of a sale. Every seeded customer has two leads, of which the trial is the later one.
func (w *workspace) byClick() source {
	return source{click: w.click("ad"), attribution: "click", clickID: w.click("ad")}
}

func (w *workspace) byMissingLead() source {
	e := w.byClick()
	e.leadEvent = "Webinar"
	return e
}

func (w *workspace) byLead(customer string) source {
	return source{leadEvent: "Sign up", attribution: "lead-event", clickID: w.click("ad"),
		leadID: w.lead("signup", customer)}
}

func (w *workspace) byLatestLead(customer string) source {
	return source{attribution: "latest-lead", clickID: w.click("mail"), leadID: w.lead("trial", customer)}
}

func (w *workspace) seed(t testing.TB, d harness.DB) {
	t.Helper()
	d.Exec("INSERT INTO hoko.workspaces (id, name) VALUES ($1, $1)", w.id)
	d.Exec(`INSERT INTO hoko.links (id, workspace_id, url, short_url)
		VALUES ($1, $2, 'https://example.com', 'https://hoko.to/l')`, w.link(), w.id)
	d.Exec("INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ($1, $3, $4), ($2, $3, $4)", w.click("ad"),
		w.click("mail"), w.id, w.link())
	hash := sha256.Sum256([]byte(w.apiKey))
	d.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, name, key_hash, key_start, scopes, rate_limit, rate_period)
		VALUES ($1, $2, 'a key', $3, 'hoko_key', '{conversionsWrite}', nullif($4, 0), interval '1 second')`,
		"key_"+w.id, w.id, hash[:], w.perSecond)
	for i := range hotCustomers {
		w.seedCustomer(d, hotCustomer(i))
	}
	for i := range steadyCustomers {
		w.seedCustomer(d, steadyCustomer(i))
	}
}

func (w *workspace) seedCustomer(d harness.DB, customer string) {
	d.T.Helper()
	id := "customer_" + customer + "_" + w.id
	d.Exec(`INSERT INTO hoko.customers (id, workspace_id, external_id, name, email, avatar)
		VALUES ($1, $2, $3, $4, $5, $6)`,
		id, w.id, customer, nameOf(seededVersion), emailOf(seededVersion), avatarOf(seededVersion))
	d.Exec(`INSERT INTO hoko.leads (id, workspace_id, customer_id, click_id, link_id, event_name, created_at)
		VALUES ($1, $3, $4, $5, $7, 'Sign up', now() - interval '2 days'), ($2, $3, $4, $6, $7, 'Trial',
		now() - interval '1 day')`,
		w.lead("signup", customer), w.lead("trial", customer), w.id, id, w.click("ad"),
		w.click("mail"), w.link())
}
