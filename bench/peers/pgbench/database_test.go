package pgbench_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// database is a migrated database with the functions of sale.sql.
type database struct {
	testenv.DB
	dsn string
}

func openDatabase(t testing.TB) *database {
	t.Helper()
	dsn := testenv.Database(t)
	d := &database{testenv.Connect(t, dsn), dsn}
	d.Exec(read(t, "sale.sql"))
	return d
}

// reset replaces all rows with those that the statements insert. Later errors fail t.
func (d *database) reset(t testing.TB, inserts string) {
	t.Helper()
	d.T = t
	d.Exec(`TRUNCATE hoko.workspaces, hoko.api_keys, hoko.links, hoko.clicks, hoko.customers, hoko.leads, hoko.sales,
		hoko.idempotency_keys;` + inserts)
}

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// store returns the edge's store over this database.
func (d *database) store() *sales.Store {
	d.T.Helper()
	store, err := sales.NewStore(postgres.Options{DSN: d.dsn, SaleTimeout: testenv.HangGuard})
	if err != nil {
		d.T.Fatal(err)
	}
	t := d.T
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testenv.HangGuard)
		defer cancel()
		if err := store.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return store
}

// record records a sale through the edge's store. It returns nil if the store rejects the sale.
func (d *database) record(store *sales.Store, s *sale.Sale) *sale.Recorded {
	d.T.Helper()
	recorded, err := store.Record(testenv.Guarded(d.T), s)
	if err != nil && !errors.Is(err, sale.ErrUnattributed) && !errors.Is(err, sale.ErrIdempotencyMismatch) {
		d.T.Fatal(err)
	}
	return recorded
}

// argument is an argument of bench.sale or bench.keyed_sale as text; nil means NULL.
type argument struct {
	name  string
	value *string
}

// arguments returns the arguments that the edge would bind.
func arguments(s *sale.Sale) []argument {
	r := s.Request
	all := []argument{
		{"workspace", &s.WorkspaceID}, {"customer", &r.CustomerExternalID}, {"name", &r.CustomerName},
		{"email", r.CustomerEmail.Value}, {"keep_email", new(fmt.Sprint(!r.CustomerEmail.Given))},
		{"avatar", r.CustomerAvatar.Value}, {"keep_avatar", new(fmt.Sprint(!r.CustomerAvatar.Given))},
		{"lead", nullIfEmpty(r.LeadEventName)}, {"click", nullIfEmpty(r.ClickID)}, {"id", new(s.ID.String())},
		{"amount", new(fmt.Sprint(r.Amount))}, {"currency", &r.Currency}, {"event", &r.EventName},
		{"metadata", nullIfEmpty(string(r.Metadata))},
	}
	if s.IdempotencyKey == "" {
		return all
	}
	fingerprint := fmt.Sprintf(`\x%x`, s.Fingerprint)
	return append(all, argument{"key", &s.IdempotencyKey}, argument{"fingerprint", &fingerprint})
}

func nullIfEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// call returns the SQL that calls the function for a sale.
func call(s *sale.Sale, arguments []string) string {
	function := "sale"
	if s.IdempotencyKey != "" {
		function = "keyed_sale"
	}
	return "SELECT * FROM bench." + function + "(" + strings.Join(arguments, ", ") + ")"
}

// queryAndRollBack calls the function for a sale, scans the row and rolls back.
func (d *database) queryAndRollBack(s *sale.Sale, row ...any) {
	d.T.Helper()
	tx, err := d.Conn.Begin(testenv.Guarded(d.T))
	if err != nil {
		d.T.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	var placeholders []string
	var values []any
	for i, a := range arguments(s) {
		placeholders = append(placeholders, fmt.Sprintf("$%d", i+1))
		values = append(values, a.value)
	}
	if err := tx.QueryRow(testenv.Guarded(d.T), call(s, placeholders), values...).Scan(row...); err != nil {
		d.T.Fatal(err)
	}
}

// recordWithPgbench records a sale with pgbench.
func (d *database) recordWithPgbench(s *sale.Sale) {
	d.T.Helper()
	var variables, flags []string
	for _, a := range arguments(s) {
		if a.value == nil {
			variables = append(variables, "NULL") // -D cannot set it
			continue
		}
		variables = append(variables, ":"+a.name)
		flags = append(flags, "-D", a.name+"="+*a.value)
	}
	script := filepath.Join(d.T.TempDir(), "sale.sql")
	if err := os.WriteFile(script, []byte(call(s, variables)+";\n"), 0o600); err != nil {
		d.T.Fatal(err)
	}
	d.pgbench(script, flags...)
}

// pgbench runs a script once.
func (d *database) pgbench(script string, flags ...string) {
	d.T.Helper()
	args := append([]string{"-n", "-t", "1", "-M", "prepared", "-f", script}, flags...)
	out, err := exec.CommandContext(testenv.Guarded(d.T), "pgbench", append(args, d.dsn)...).CombinedOutput()
	if err != nil {
		d.T.Errorf("pgbench: %v (script/bootstrap --test installs it)\n%s", err, out)
	} else if !strings.Contains(string(out), "actually processed: 1/1") {
		d.T.Errorf("pgbench has processed no transaction:\n%s", out)
	}
}

// rows returns all rows that a sale may read or write, without the times of their creation, in an
// order that does not depend on generated IDs.
func (d *database) rows() []string {
	d.T.Helper()
	rows, err := d.Conn.Query(testenv.Guarded(d.T), `
		SELECT 'customer ' || (to_jsonb(c) - '{created_at,updated_at}'::text[])::text || (updated_at > '2025-01-01')
			FROM (SELECT * FROM hoko.customers ORDER BY workspace_id, external_id) c
		UNION ALL
		SELECT 'sale ' || (to_jsonb(s) - 'created_at')::text FROM (SELECT * FROM hoko.sales ORDER BY id) s
		UNION ALL
		SELECT 'key ' || (to_jsonb(k) - '{response,created_at}'::text[])::text || response
			FROM (SELECT * FROM hoko.idempotency_keys ORDER BY workspace_id, key) k
		UNION ALL
		SELECT 'link ' || to_jsonb(l)::text FROM (SELECT * FROM hoko.links ORDER BY id) l
		UNION ALL
		SELECT 'click ' || (to_jsonb(k) - 'created_at')::text FROM (SELECT * FROM hoko.clicks ORDER BY id) k
		UNION ALL
		SELECT 'lead ' || (to_jsonb(l) - '{id,created_at}'::text[])::text
			FROM (SELECT * FROM hoko.leads ORDER BY id) l`)
	if err != nil {
		d.T.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		d.T.Fatal(err)
	}
	return lines
}

var uuidPattern = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// numberIDs replaces each UUID with a number, so that generated IDs of two databases are
// comparable.
func numberIDs(text string) string {
	numbers := map[string]string{}
	return uuidPattern.ReplaceAllStringFunc(text, func(id string) string {
		if numbers[id] == "" {
			numbers[id] = fmt.Sprintf("<%d>", len(numbers)+1)
		}
		return numbers[id]
	})
}
