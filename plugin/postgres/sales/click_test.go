package sales_test

import (
	"testing"

	"hoko.to/edge/plugin/sale"
)

func TestALeadsClickIsAnsweredAndStoredUnlessItIsAnotherWorkspaces(t *testing.T) {
	for stored, want := range map[string]string{"c1": "c1", "purged": "purged", "y1": "", "": ""} {
		t.Run("click "+stored, func(t *testing.T) {
			shop := openShop(t)
			shop.Exec(`INSERT INTO hoko.customers (id, workspace_id, external_id, name) VALUES ('k1', 'w1', 'k', 'k')`)
			shop.Exec(`INSERT INTO hoko.leads (workspace_id, customer_id, click_id, link_id, event_name) VALUES ('w1', 'k1', nullif('` + stored + `', ''), 'l1', 'Signup')`)
			store := shop.Store()
			for attribution, s := range map[sale.Attribution]*sale.Sale{
				sale.LatestLead: sell("k", byClick("")),
				sale.LeadEvent:  sell("k", byClick(""), byLead("Signup")),
			} {
				got := mustRecord(t, store, s)
				answered := ""
				if got.ClickID != nil {
					answered = *got.ClickID
				}
				if got.Attribution != attribution || answered != want {
					t.Errorf("%s: click %q by %s, want %q", attribution, answered, got.Attribution, want)
				}
				if n := shop.Sales("id = $1 AND coalesce(click_id, '') = $2", s.ID, want); n != 1 {
					t.Errorf("%s: %d sales with that click", attribution, n)
				}
			}
		})
	}
}
