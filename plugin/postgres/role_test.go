package postgres_test

import (
	"errors"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/sale"
)

// As docs/role.sql makes it, run twice.
func TestRoleHasWhatTheEdgeNeedsAndNoMore(t *testing.T) {
	script, err := os.ReadFile("../../docs/role.sql")
	if err != nil {
		t.Fatal(err)
	}
	s := openShop(t)
	s.exec(string(script))
	s.exec(string(script))
	hash := seedRoleKey(s)
	o := postgres.Options{DSN: s.dsn + "&role=hoko_edge"}
	edge := connect(t, o.DSN)

	t.Run("looks up a key", func(t *testing.T) {
		if _, err := newKeyStore(t, o).Key(guarded(t), hash); err != nil {
			t.Error(err)
		}
	})
	t.Run("checks the schema", func(t *testing.T) {
		if err := postgres.CheckSchema(guarded(t), edge.conn, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("listens", func(t *testing.T) {
		heard, _ := listen(t, o)
		heard.expect(t, "listening")
	})
	t.Run("records sales", func(t *testing.T) {
		store := openStore(t, o.DSN)
		for _, name := range []string{"new customer", "changed customer"} {
			mustRecord(t, store, sell("somebody", named(name), mailing(set("a@example.com")), keyed("once: "+name)))
		}
		if got := record(t, store, sell("somebody", named("new customer"), mailing(set("a@example.com")), keyed("once: new customer"))); got.err != nil || !got.Replayed {
			t.Errorf("%+v, %v", got.Recorded, got.err)
		}
		if got := record(t, store, sell("somebody else", byClick(""))); !errors.Is(got.err, sale.ErrUnattributed) {
			t.Error(got.err)
		}
	})
	t.Run("waits for standbys", func(t *testing.T) {
		edge.exec(`SELECT pg_logical_emit_message(true, 'hoko', '')`)
	})
	for name, sql := range map[string]string{
		"deletes a sale":          `DELETE FROM hoko.sales`,
		"changes a sale":          `UPDATE hoko.sales SET amount = 0`,
		"deletes a customer":      `DELETE FROM hoko.customers`,
		"renames a customer":      `UPDATE hoko.customers SET external_id = 'x'`,
		"forgets a request":       `DELETE FROM hoko.idempotency_keys`,
		"makes a key":             `INSERT INTO hoko.api_keys (workspace_id, key_hash) VALUES ('w1', sha256('x'))`,
		"revives a key":           `UPDATE hoko.api_keys SET revoked_at = NULL`,
		"changes a workspace":     `UPDATE hoko.workspaces SET rate_limit = NULL`,
		"makes a click":           `INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ('x', 'w1', 'l1')`,
		"feigns a newer schema":   `UPDATE hoko.schema_version SET version = 9`,
		"makes a table":           `CREATE TABLE hoko.mine ()`,
		"empties the idempotency": `TRUNCATE hoko.idempotency_keys`,
	} {
		t.Run("never "+name, func(t *testing.T) {
			_, err := edge.conn.Exec(guarded(t), sql)
			if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "42501" {
				t.Errorf("got %v, want insufficient_privilege", err)
			}
		})
	}
}

func seedRoleKey(s *shop) (hash [32]byte) {
	s.t.Helper()
	hash[0] = 1
	s.exec(`INSERT INTO hoko.api_keys (workspace_id, key_hash) VALUES ('w1', $1)`, hash[:])
	return hash
}
