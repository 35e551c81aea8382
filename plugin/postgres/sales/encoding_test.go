package sales_test

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

// encoded is a shop whose database keeps text in another encoding than UTF-8.
func encoded(t *testing.T, encoding string) (dsn string, db testenv.DB) {
	t.Helper()
	server := testenv.Postgres(t)
	testenv.Connect(t, server.DSN("postgres")).Exec(fmt.Sprintf("CREATE DATABASE shop ENCODING '%s' LOCALE 'C' TEMPLATE template0", encoding))
	dsn = server.DSN("shop")
	if err := postgres.Migrate(testenv.Guarded(t), dsn, nil); err != nil {
		t.Fatal(err)
	}
	db = testenv.Connect(t, dsn+"&client_encoding=UTF8")
	db.Exec(pgtest.Catalogue)
	return dsn, db
}

func TestDatabaseInLatin1KeepsNamesAsTheyAre(t *testing.T) {
	dsn, db := encoded(t, "LATIN1")
	db.Exec("UPDATE hoko.links SET title = 'Café'")
	got := mustRecord(t, openStore(t, dsn), sell("k", named("Zoë")))
	if got.Customer.Name != "Zoë" || text(got.Link.Title) != "Café" {
		t.Errorf("answered %q and %q", got.Customer.Name, text(got.Link.Title))
	}
	if name := testenv.Value[string](db, "SELECT name FROM hoko.customers"); name != "Zoë" {
		t.Errorf("stored %q", name)
	}
}

func TestCharacterThatTheDatabaseCannotKeepFailsItsOwnSaleOnly(t *testing.T) {
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		t.Run(encoding, func(t *testing.T) {
			dsn, _ := encoded(t, encoding)
			wire := pgtest.Tap(t, dsn)
			store := openStore(t, wire.DSN, oneWriter)
			outcomes := queue(t, store,
				sell("one"), sell("bad", noting(`{"a":"\u20ac"}`)), sell("two", inWorkspace("w2"), byClick("y1")))
			wire.Open()
			for i, o := range outcomes {
				if got := wait(t, o); i == 1 && !meets(got.err, errAny) || i != 1 && got.err != nil {
					t.Errorf("sale %d: %v", i, got.err)
				}
			}
		})
	}
}

// The columns of the prepared statement change while edges are at work.
func TestMigrationOfALinksColumnCostsNoSale(t *testing.T) {
	shop := openShop(t)
	metrics := prometheus.NewRegistry()
	store := shop.Store(oneWriter, withMetrics(metrics))
	mustRecord(t, store, sell("k"))
	shop.Exec("ALTER TABLE hoko.links ALTER COLUMN title TYPE varchar(500)")
	mustRecord(t, store, sell("k", named("changed")))
	if n := failures(t, metrics, "26"); n == 0 {
		t.Error("the statement was not prepared again")
	}
}
