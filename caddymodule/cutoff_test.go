package caddymodule

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestSalesThatOutlastTheirTimeAreCutOffAndTheLogSaysSo(t *testing.T) {
	e := startEdge(t, saleRoutes)
	key := e.key("conversionsWrite")
	e.sql(`INSERT INTO hoko.links (id, workspace_id, url, short_url) VALUES ('link', $1, 'https://example.com', 'https://hoko.to/abc')`, key.WorkspaceID)
	e.sql(`INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ('click', $1, 'link')`, key.WorkspaceID)
	e.sql(`INSERT INTO hoko.customers (workspace_id, external_id, name) VALUES ($1, 'customer_123', 'Somebody')`, key.WorkspaceID)
	somebodyElse, err := pgx.Connect(t.Context(), e.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer somebodyElse.Close(t.Context())
	if _, err := somebodyElse.Exec(t.Context(), "BEGIN; SELECT FROM hoko.customers FOR UPDATE"); err != nil {
		t.Fatal(err)
	}

	renaming := strings.Replace(validSale, "{", `{"clickId":"click",`, 1)
	answered := make(chan answer, 1)
	go func() {
		got, err := e.try("POST", "/api/track/sale", bearer(key.Key), renaming)
		if err != nil {
			t.Error(err)
		}
		answered <- got
	}()
	b := onlyBackend(t)
	eventually(t, "a sale that waits", func() bool { return b.saleStore.Stats().SlowCustomers == 1 })
	b.settings.saleTimeout = -drainMargin // its time is over; that of the sale is not
	b.close()
	written.await(t, "sales were cut off", "level", "error")
	if got := <-answered; got.status != 503 && got.status != 504 {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}
