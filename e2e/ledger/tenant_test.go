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

// tenant is a workspace with a key, a link, two clicks, and customers with leads.
type tenant struct {
	workspace, apiKey string
	perSecond         int // rate limit of its key; 0 for the Caddyfile's
}

// The tenants share customer names and idempotency keys, to show that workspaces are separate.
var tenants = []*tenant{
	{workspace: "ample", apiKey: "hoko_key_of_the_ample_workspace"},
	{workspace: "scarce", apiKey: "hoko_key_of_the_scarce_workspace", perSecond: 8},
	{workspace: "greedy", apiKey: "hoko_key_of_the_greedy_workspace"}, // of the clients that overload adds
}

func (n *tenant) other() *tenant {
	if n == tenants[0] {
		return tenants[1]
	}
	return tenants[0]
}

func (n *tenant) link() string             { return "link_" + n.workspace }
func (n *tenant) click(of string) string   { return "click_" + of + "_" + n.workspace }
func (n *tenant) lead(of, c string) string { return "lead_" + of + "_" + c + "_" + n.workspace }
func hotCustomer(i int) string             { return fmt.Sprint("hot-", i) }
func steadyCustomer(i int) string          { return fmt.Sprint("steady-", i) }
func isSeeded(customer string) bool {
	return strings.HasPrefix(customer, "hot-") || strings.HasPrefix(customer, "steady-")
}

// The sources of a sale. Every seeded customer has two leads, of which the trial is the later one.
func (n *tenant) byClick() source {
	return source{click: n.click("ad"), attribution: "click", clickID: n.click("ad")}
}

func (n *tenant) byMissingLead() source {
	e := n.byClick()
	e.leadEvent = "Webinar"
	return e
}

func (n *tenant) byLead(customer string) source {
	return source{leadEvent: "Sign up", attribution: "lead-event", clickID: n.click("ad"),
		leadID: n.lead("signup", customer)}
}

func (n *tenant) byLatestLead(customer string) source {
	return source{attribution: "latest-lead", clickID: n.click("mail"), leadID: n.lead("trial", customer)}
}

func (n *tenant) seed(t testing.TB, d harness.DB) {
	t.Helper()
	d.Exec("INSERT INTO hoko.workspaces (id, name) VALUES ($1, $1)", n.workspace)
	d.Exec(`INSERT INTO hoko.links (id, workspace_id, url, short_url)
		VALUES ($1, $2, 'https://example.com', 'https://hoko.to/l')`, n.link(), n.workspace)
	d.Exec("INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ($1, $3, $4), ($2, $3, $4)", n.click("ad"),
		n.click("mail"), n.workspace, n.link())
	hash := sha256.Sum256([]byte(n.apiKey))
	d.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, name, key_hash, key_start, scopes, rate_limit, rate_period)
		VALUES ($1, $2, 'a key', $3, 'hoko_key', '{conversionsWrite}', nullif($4, 0), interval '1 second')`,
		"key_"+n.workspace, n.workspace, hash[:], n.perSecond)
	for i := range hotCustomers {
		n.seedCustomer(d, hotCustomer(i))
	}
	for i := range steadyCustomers {
		n.seedCustomer(d, steadyCustomer(i))
	}
}

func (n *tenant) seedCustomer(d harness.DB, customer string) {
	d.T.Helper()
	id := "customer_" + customer + "_" + n.workspace
	d.Exec(`INSERT INTO hoko.customers (id, workspace_id, external_id, name, email, avatar)
		VALUES ($1, $2, $3, $4, $5, $6)`,
		id, n.workspace, customer, nameOf(seededVersion), emailOf(seededVersion), avatarOf(seededVersion))
	d.Exec(`INSERT INTO hoko.leads (id, workspace_id, customer_id, click_id, link_id, event_name, created_at)
		VALUES ($1, $3, $4, $5, $7, 'Sign up', now() - interval '2 days'), ($2, $3, $4, $6, $7, 'Trial',
		now() - interval '1 day')`,
		n.lead("signup", customer), n.lead("trial", customer), n.workspace, id, n.click("ad"),
		n.click("mail"), n.link())
}
