package postgres_test

import (
	"errors"
	"os"
	"testing"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/keys"
	"hoko.to/edge/plugin/sale"
)

// The role is that of docs/role.sql, which may run twice.
func TestRole_HasOnlyWhatTheEdgeNeeds(t *testing.T) {
	script, err := os.ReadFile("../../docs/role.sql")
	testenv.NoError(t, err)
	s := pgtest.OpenShop(t)
	s.Exec(string(script))
	s.Exec(string(script))
	hash := seedRoleKey(s)
	o := postgres.Options{DSN: s.DSN + "&role=hoko_edge"}
	edge := testenv.Connect(t, o.DSN)

	t.Run("looks up a key", func(t *testing.T) {
		if _, err := pgtest.OpenKeys(t, o).Key(testenv.Guarded(t), hash); err != nil {
			t.Error(err)
		}
	})
	t.Run("checks the schema", func(t *testing.T) {
		testenv.NoError(t, postgres.CheckSchema(testenv.Guarded(t), edge.Conn, nil))
	})
	t.Run("listens", func(t *testing.T) {
		testenv.NoError(t, keys.CheckListener(testenv.Guarded(t), o))
	})
	t.Run("records sales", func(t *testing.T) {
		store := pgtest.OpenStore(t, o.DSN)
		email := pgtest.WithEmail(pgtest.Set("a@example.com"))
		for i, name := range []string{"new", "changed", "new"} {
			s := pgtest.Sell("customer", pgtest.WithName(name), email, pgtest.WithKey(name))
			if got := pgtest.MustRecord(t, store, s); got.Replayed != (i == 2) {
				t.Errorf("sale %d: %+v", i, got)
			}
		}
		_, err := store.Record(testenv.Guarded(t), pgtest.Sell("other", pgtest.ByClick("")))
		if !errors.Is(err, sale.ErrUnattributed) {
			t.Error(err)
		}
	})
	t.Run("reads when the owner last cleaned up", func(t *testing.T) {
		if _, err := pgtest.OpenKeys(t, o).LastCleanUp(testenv.Guarded(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("records when keys were last used", func(t *testing.T) {
		_, err := pgtest.OpenKeys(t, o).RecordUses(testenv.Guarded(t), []keys.Use{{KeyID: "k", Minute: 1}})
		testenv.NoError(t, err)
	})
	t.Run("waits for standbys", func(t *testing.T) {
		edge.Exec(`SELECT pg_logical_emit_message(true, 'hoko', '')`)
	})
	for name, sql := range map[string]string{
		"deletes a sale":      `DELETE FROM hoko.sales`,
		"changes a sale":      `UPDATE hoko.sales SET amount = 0`,
		"deletes a customer":  `DELETE FROM hoko.customers`,
		"renames a customer":  `UPDATE hoko.customers SET external_id = 'x'`,
		"deletes an answer":   `DELETE FROM hoko.idempotency_keys`,
		"creates a key":       `INSERT INTO hoko.api_keys (workspace_id, key_hash) VALUES ('w1', sha256('x'))`,
		"restores a key":      `UPDATE hoko.api_keys SET revoked_at = NULL`,
		"changes a workspace": `UPDATE hoko.workspaces SET rate_limit = NULL`,
		"creates a click":     `INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ('x', 'w1', 'l1')`,
		"changes the version": `UPDATE hoko.schema_version SET version = 9`,
		"reads the audit":     `SELECT FROM hoko.audit`,
		"writes the audit":    `INSERT INTO hoko.audit (os_user, command) VALUES ('x', 'x')`,
		"deletes a last use":  `DELETE FROM hoko.key_usage`,
		"records a clean-up":  `INSERT INTO hoko.maintenance VALUES ('x', now())`,
		"creates a table":     `CREATE TABLE hoko.mine ()`,
		"truncates a table":   `TRUNCATE hoko.idempotency_keys`,
	} {
		t.Run("never "+name, func(t *testing.T) {
			_, err := edge.Conn.Exec(testenv.Guarded(t), sql)
			if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != pgerrcode.InsufficientPrivilege {
				t.Errorf("got %v, want insufficient_privilege", err)
			}
		})
	}
}

func seedRoleKey(s *pgtest.Shop) (hash [32]byte) {
	s.T.Helper()
	hash[0] = 1
	s.Exec(`INSERT INTO hoko.api_keys (workspace_id, key_hash) VALUES ('w1', $1)`, hash[:])
	return hash
}
