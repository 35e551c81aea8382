package postgres_test

import (
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

// Behind a pooler, other clients use the session next.
func TestExplain_LeavesNothingInTheSession(t *testing.T) {
	db := testenv.Connect(t, testenv.Database(t))
	ctx := testenv.Guarded(t)
	const statement = "SELECT FROM hoko.api_keys WHERE id = $1"
	db.Exec("SET ROLE pg_monitor")
	if err := postgres.Explain(ctx, db.Conn, statement); err == nil {
		t.Error("explained without privileges")
	}
	db.Exec("RESET ROLE")
	testenv.NoError(t, postgres.Explain(ctx, db.Conn, statement))
	if left := db.Count("SELECT count(*) FROM pg_prepared_statements WHERE name = 'hoko_explained'"); left != 0 {
		t.Error("the statement is still prepared")
	}
}
