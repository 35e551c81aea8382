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
	"time"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// hangGuard ends a test that would otherwise wait for ever.
const hangGuard = time.Minute

func guarded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hangGuard)
	t.Cleanup(cancel)
	return ctx
}

// shop is a database of a test's own with the statement, and a connection to it.
type shop struct {
	t    testing.TB
	dsn  string
	conn *pgx.Conn
}

func openShop(t testing.TB) *shop {
	t.Helper()
	dsn := testenv.Database(t)
	conn, err := pgx.Connect(guarded(t), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	s := &shop{t, dsn, conn}
	s.exec(read(t, "sale.sql"))
	return s
}

// stock makes these rows the database's only ones, for a test of its own.
func (s *shop) stock(t testing.TB, rows string) {
	t.Helper()
	s.t = t
	s.exec("TRUNCATE hoko.workspaces, hoko.api_keys, hoko.links, hoko.clicks, hoko.customers, hoko.leads, hoko.sales, hoko.idempotency_keys;" + rows)
}

func (s *shop) exec(sql string) {
	s.t.Helper()
	if _, err := s.conn.Exec(guarded(s.t), sql); err != nil {
		s.t.Fatal(err)
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// value is the only column of the only row.
func value[T any](s *shop, sql string, args ...any) T {
	s.t.Helper()
	var v T
	if err := s.conn.QueryRow(guarded(s.t), sql, args...).Scan(&v); err != nil {
		s.t.Fatal(err)
	}
	return v
}

// store is an edge's over this database.
func (s *shop) store() *sales.Store {
	s.t.Helper()
	store, err := sales.NewStore(postgres.Options{DSN: s.dsn, SaleTimeout: hangGuard})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), hangGuard)
		defer cancel()
		if err := store.Close(ctx); err != nil {
			s.t.Error(err)
		}
	})
	return store
}

// record is the edge's answer; nil where it refuses the sale.
func (s *shop) record(store *sales.Store, asked *sale.Sale) *sale.Recorded {
	s.t.Helper()
	recorded, err := store.Record(guarded(s.t), asked)
	if err != nil && !errors.Is(err, sale.ErrUnattributed) && !errors.Is(err, sale.ErrIdempotencyMismatch) {
		s.t.Fatal(err)
	}
	return recorded
}

// argument is one of the statement's; nil is null.
type argument struct {
	name  string
	value any
}

// arguments are as the edge binds them.
func arguments(s *sale.Sale) []argument {
	r := s.Request
	all := []argument{
		{"workspace", s.WorkspaceID}, {"customer", r.CustomerExternalID}, {"name", r.CustomerName},
		{"email", orNull(r.CustomerEmail.Value)}, {"keep_email", !r.CustomerEmail.Given},
		{"avatar", orNull(r.CustomerAvatar.Value)}, {"keep_avatar", !r.CustomerAvatar.Given},
		{"lead", given(r.LeadEventName)}, {"click", given(r.ClickID)},
		{"id", s.ID.String()}, {"amount", r.Amount}, {"currency", r.Currency}, {"event", r.EventName}, {"metadata", given(string(r.Metadata))},
	}
	if s.IdempotencyKey == "" {
		return all
	}
	return append(all, argument{"key", s.IdempotencyKey}, argument{"fingerprint", fmt.Sprintf(`\x%x`, s.Fingerprint)})
}

func orNull(text *string) any {
	if text == nil {
		return nil
	}
	return *text
}

func given(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// statement is the call of a sale with these arguments.
func statement(s *sale.Sale, arguments []string) string {
	function := "sale"
	if s.IdempotencyKey != "" {
		function = "keyed_sale"
	}
	return "SELECT * FROM bench." + function + "(" + strings.Join(arguments, ", ") + ")"
}

// undone calls the statement, scans its row and rolls it back.
func (s *shop) undone(asked *sale.Sale, row ...any) {
	s.t.Helper()
	tx, err := s.conn.Begin(guarded(s.t))
	if err != nil {
		s.t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	var placeholders []string
	var values []any
	for i, a := range arguments(asked) {
		placeholders = append(placeholders, fmt.Sprintf("$%d", i+1))
		values = append(values, a.value)
	}
	if fingerprint := asked.Fingerprint[:]; asked.IdempotencyKey != "" {
		values[len(values)-1] = fingerprint
	}
	if err := tx.QueryRow(guarded(s.t), statement(asked, placeholders), values...).Scan(row...); err != nil {
		s.t.Fatal(err)
	}
}

// sell has pgbench sell.
func (s *shop) sell(asked *sale.Sale) {
	s.t.Helper()
	var variables, flags []string
	for _, a := range arguments(asked) {
		if a.value == nil {
			variables = append(variables, "NULL") // a variable of pgbench cannot be
			continue
		}
		variables = append(variables, ":"+a.name)
		flags = append(flags, "-D", fmt.Sprintf("%s=%v", a.name, a.value))
	}
	script := filepath.Join(s.t.TempDir(), "sale.sql")
	if err := os.WriteFile(script, []byte(statement(asked, variables)+";\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.pgbench(script, flags...)
}

// pgbench runs a script once.
func (s *shop) pgbench(script string, flags ...string) {
	s.t.Helper()
	args := append([]string{"-n", "-t", "1", "-M", "prepared", "-f", script}, flags...)
	cmd := exec.CommandContext(guarded(s.t), "pgbench", append(args, s.dsn)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Errorf("pgbench: %v (script/bootstrap --test installs it)\n%s", err, out)
	} else if !strings.Contains(string(out), "actually processed: 1/1") {
		s.t.Errorf("pgbench sold nothing:\n%s", out)
	}
}

// rows is all that a sale may write, and what it must not, apart from times: a
// row a line, in an order that does not depend on ids.
func (s *shop) rows() []string {
	s.t.Helper()
	rows, err := s.conn.Query(guarded(s.t), `
		SELECT 'customer ' || (to_jsonb(c) - '{created_at,updated_at}'::text[])::text || (updated_at > '2025-01-01')
			FROM (SELECT * FROM hoko.customers ORDER BY workspace_id, external_id) c
		UNION ALL
		SELECT 'sale ' || (to_jsonb(s) - 'created_at')::text FROM (SELECT * FROM hoko.sales ORDER BY id) s
		UNION ALL
		SELECT 'key ' || (to_jsonb(k) - '{response,created_at}'::text[])::text || response FROM (SELECT * FROM hoko.idempotency_keys ORDER BY workspace_id, key) k
		UNION ALL
		SELECT 'link ' || to_jsonb(l)::text FROM (SELECT * FROM hoko.links ORDER BY id) l
		UNION ALL
		SELECT 'click ' || (to_jsonb(k) - 'created_at')::text FROM (SELECT * FROM hoko.clicks ORDER BY id) k
		UNION ALL
		SELECT 'lead ' || (to_jsonb(l) - '{id,created_at}'::text[])::text FROM (SELECT * FROM hoko.leads ORDER BY id) l`)
	if err != nil {
		s.t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	return lines
}

var madeID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// numberIDs replaces UUIDs by numbers, the same by the same.
func numberIDs(text string) string {
	numbers := map[string]string{}
	return madeID.ReplaceAllStringFunc(text, func(id string) string {
		if numbers[id] == "" {
			numbers[id] = fmt.Sprintf("<%d>", len(numbers)+1)
		}
		return numbers[id]
	})
}
