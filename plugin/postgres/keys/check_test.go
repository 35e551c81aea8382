package keys_test

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/keys"
)

// typedView is a site's view, whose columns may have other types.
const typedView = `DROP VIEW IF EXISTS hoko.api_keys;
	CREATE VIEW hoko.api_keys AS SELECT sha256('a key') AS key_hash, text '1' AS id, text 'w1' AS workspace_id,
		'{linksRead}'::text[] AS scopes, '{example.com}'::text[] AS allowed_hostnames, 5 AS rate_limit,
		interval '1 minute' AS rate_period, 5 AS rate_burst,
		timestamptz '2031-01-01' AS expires_at, NULL::timestamptz AS revoked_at`

func TestCheck_ReadsWhatALookupReads(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	db.Exec(`DROP TABLE hoko.api_keys; INSERT INTO hoko.workspaces (id) VALUES ('w1');
		CREATE TYPE scope AS ENUM ('linksRead'); CREATE DOMAIN word AS text`)
	store := pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	for column, values := range map[string][]string{
		"text '1' AS id": {
			"varchar '1'", "name '1'", "uuid '01890a5d-ac96-774b-bcce-b302099a8058'", "smallint '1'",
			"1", "bigint '1'", "1.0",
			"scope 'linksRead'", "word '1'", "oid '1'", "bytea '1'", "now()",
		},
		"'{linksRead}'::text[] AS scopes": {
			"'{linksRead}'::scope[]", "'{linksRead}'::varchar[]", "'{linksRead}'::name[]", "'{linksRead}'::word[]",
			`jsonb '["linksRead"]'`, `json '["linksRead"]'`, "text 'linksRead'", "bytea 'linksRead'",
		},
		"5 AS rate_limit":                    {"smallint '5'", "bigint '5'", "5.0", "real '5'", "text '5'"},
		"interval '1 minute' AS rate_period": {"time '00:01'", "60", "text '60'"},
		"'{example.com}'::text[] AS allowed_hostnames": {
			"'{example.com}'::varchar[]", "'{example.com}'::word[]", "text 'example.com'",
		},
	} {
		_, name, _ := strings.Cut(column, " AS ")
		for _, value := range values {
			db.Exec(strings.Replace(typedView, column, value+" AS "+name, 1))
			_, lookup := store.Key(testenv.Guarded(t), sha256.Sum256([]byte("a key")))
			_, check := keys.Check(testenv.Guarded(t), postgres.Options{DSN: dsn})
			if (lookup == nil) != (check == nil) || check != nil && !errors.Is(check, keys.ErrUnreadable) {
				t.Errorf("%s as %s: lookup: %v, check: %v", name, value, lookup, check)
			}
		}
	}
}
