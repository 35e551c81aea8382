package caddymodule

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/caddymodule/backend"
)

// heldSale is a sale that waits because another session has locked its customer.
type heldSale struct {
	*testEdge
	key      string
	holder   *pgx.Conn
	answered chan answer
}

func holdSale(t *testing.T) *heldSale {
	t.Helper()
	e := startEdge(t, strings.Replace(saleRoutes, "3/1h", "1000000/1h", 1))
	key := e.key("conversionsWrite")
	e.click(key.WorkspaceID)
	e.sql(`INSERT INTO hoko.customers (workspace_id, external_id, name)
		VALUES ($1, 'customer_123', 'Old Name')`, key.WorkspaceID)
	holder := e.connect()
	if _, err := holder.Exec(t.Context(), "BEGIN; SELECT FROM hoko.customers FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	s := &heldSale{e, key.Key, holder, make(chan answer, 1)}
	go func() {
		got, err := e.try("POST", "/api/track/sale", bearer(s.key), withClick)
		if err != nil {
			t.Error(err)
		}
		s.answered <- got
	}()
	eventually(t, "the sale waits", func() bool { return backend.States()[0].Sales.SlowCustomers == 1 })
	return s
}

func TestBackendClose_AnswersAcceptedSales(t *testing.T) {
	s := holdSale(t)
	closed := make(chan struct{})
	b := onlyBackend(t)
	go func() { defer close(closed); _ = b.Destruct() }()
	eventually(t, "new sales are rejected", func() bool {
		return s.send("POST", "/api/track/sale", bearer(s.key), validSale).status == 503
	})
	if _, err := s.holder.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if got := <-s.answered; got.status != 201 {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	<-closed
}

func TestBackendClose_LogsSalesThatAreCutOff(t *testing.T) {
	s := holdSale(t)
	b := onlyBackend(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // before the sale's deadline
	b.Close(ctx)
	written.await(t, "sales were cut off", "level", "error")
	if got := <-s.answered; got.status != 503 && got.status != 504 {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}
