package postgres_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

// adoptable are the relations that may be a site's views.
const adoptable = `(workspaces|api_keys|links|clicks|customers|leads|sales)`

var (
	// changesRelation matches DDL that fails over a view, or changes it. Its group is the relation.
	changesRelation = regexp.MustCompile(`(?is)\b(?:(?:ALTER|DROP|LOCK|TRUNCATE|COMMENT\s+ON)\s+(?:TABLE\s+|VIEW\s+)?` +
		`(?:IF\s+EXISTS\s+|ONLY\s+)*|(?:INDEX|TRIGGER|RULE|POLICY|STATISTICS)\b[^;]*?\s(?:ON|FROM)\s+(?:ONLY\s+)?|` +
		`REFERENCES\s+)hoko\.` + adoptable + `\b`)
	// guarded matches the guard of ARCHITECTURE.md with what it guards.
	guarded = regexp.MustCompile(`(?is)\bIF \(SELECT relkind FROM pg_catalog\.pg_class WHERE oid = ` +
		`'hoko\.` + adoptable + `'::regclass\) IN \('r', 'p'\) THEN\b.*?\bEND IF;`)
	sqlComment = regexp.MustCompile(`--[^\n]*`)
	// newSyntax matches what Postgres 13 does not parse.
	newSyntax = regexp.MustCompile(`(?i)OR\s+REPLACE\s+(?:CONSTRAINT\s+)?TRIGGER|NULLS\s+(?:NOT\s+)?DISTINCT|` +
		`security_invoker|\bMERGE\s+INTO|\bVIRTUAL\b|SET\s+COMPRESSION|multirange|BEGIN\s+ATOMIC|uuidv7`)
)

// unguarded returns the relations that a migration changes even if they are views.
func unguarded(migration string) (relations []string) {
	migration = sqlComment.ReplaceAllString(migration, "")
	rest := guarded.ReplaceAllStringFunc(migration, func(block string) string {
		relation := guarded.FindStringSubmatch(block)[1]
		for _, change := range changesRelation.FindAllStringSubmatch(block, -1) {
			if change[1] != relation {
				relations = append(relations, change[1])
			}
		}
		return ""
	})
	for _, change := range changesRelation.FindAllStringSubmatch(rest, -1) {
		relations = append(relations, change[1])
	}
	return relations
}

func readMigrations(t *testing.T) (migrations []string) {
	t.Helper()
	files, err := os.ReadDir("migrations")
	testenv.NoError(t, err)
	for _, file := range files { // in the order of their names
		sql, err := os.ReadFile("migrations/" + file.Name())
		testenv.NoError(t, err)
		migrations = append(migrations, string(sql))
	}
	return migrations
}

func TestMigrations_LeaveViewsAsTheyAre(t *testing.T) {
	migrations := readMigrations(t)
	if int32(len(migrations)) != postgres.LatestVersion() {
		t.Fatalf("read %d migrations", len(migrations))
	}
	for i, migration := range migrations[1:] {
		if relations := unguarded(migration); len(relations) > 0 {
			t.Errorf("migration %d changes %v even if they are views: see ARCHITECTURE.md", i+2, relations)
		}
	}
	if first := unguarded(migrations[0]); len(first) < 10 { // they are the first one's own tables
		t.Errorf("found only %v in the first migration", first)
	}
}

func TestMigrations_ParseOnPostgres13(t *testing.T) {
	for i, migration := range readMigrations(t) {
		if found := newSyntax.FindString(sqlComment.ReplaceAllString(migration, "")); found != "" {
			t.Errorf("migration %d has %q", i+1, found)
		}
	}
}

func TestMigrations_Unguarded(t *testing.T) {
	guard := guardInArchitecture(t)
	other := strings.Replace(guard, "ALTER TABLE hoko.customers", "ALTER TABLE hoko.sales", 1)
	for sql, want := range map[string][]string{
		guard: nil,
		other: {"sales"},
		guard + "ALTER TABLE hoko.customers ADD x text;":                                     {"customers"},
		"ALTER TABLE IF EXISTS ONLY hoko.sales ADD x text;":                                  {"sales"},
		"CREATE UNIQUE INDEX IF NOT EXISTS x\nON hoko.leads (id);":                           {"leads"},
		"CREATE TRIGGER x AFTER UPDATE OF id ON hoko.links\nEXECUTE FUNCTION hoko.notify();": {"links"},
		"DROP TRIGGER x ON hoko.api_keys; DROP VIEW hoko.clicks":                             {"api_keys", "clicks"},
		"CREATE TABLE hoko.x (id text REFERENCES hoko.workspaces)":                           {"workspaces"},
		"-- ALTER TABLE hoko.sales\nALTER TABLE hoko.sales_x ADD y int;":                     nil,
		"CREATE INDEX x ON hoko.audit (id); UPDATE hoko.api_keys SET name = '';":             nil,
	} {
		if got := unguarded(sql); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", sql, got, want)
		}
	}
}

func guardInArchitecture(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../ARCHITECTURE.md")
	testenv.NoError(t, err)
	return regexp.MustCompile("(?s)```sql\n(DO .*?)```").FindStringSubmatch(string(page))[1]
}

// The guard adds the column to a table, and leaves a view as it is.
func TestMigrations_Guard(t *testing.T) {
	const hasColumn = `SELECT count(*) FROM pg_attribute
		WHERE attrelid = 'hoko.customers'::regclass AND attname = 'tier'`
	for name, tc := range map[string]struct {
		adopt string
		want  int
	}{
		"table": {"", 1},
		"view": {`ALTER TABLE hoko.customers SET SCHEMA public;
			CREATE VIEW hoko.customers AS TABLE public.customers`, 0},
		"partitioned table": {`DROP TABLE hoko.customers;
			CREATE TABLE hoko.customers (id text) PARTITION BY HASH (id)`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			db := testenv.Connect(t, testenv.Database(t))
			db.Exec(tc.adopt)
			db.Exec(guardInArchitecture(t))
			if n := db.Count(hasColumn); n != tc.want {
				t.Errorf("%d new columns, want %d", n, tc.want)
			}
		})
	}
}
