package cli

import (
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
)

// Without the check, pgx would connect to a server on this machine.
func TestCommand_RejectsQuotedDatabaseURL(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	t.Setenv("DATABASE_URL", `"postgres://hoko:s3cret@host/site?sslmode=disable"`)
	for _, command := range []string{
		"migrate", "migrate --status", "doctor", "keys list", "keys revoke x",
		"keys create --workspace=a --scopes=linksRead", "idempotency clean",
		"idempotency erase --workspace=a --customer=b",
	} {
		stdout, stderr, err := hoko(t, strings.Fields(command)...)
		if err == nil {
			t.Fatalf("caddy hoko %s succeeds", command)
		}
		printed := stdout + stderr + err.Error()
		const want = "connection string is in quotation marks: remove them"
		if !strings.Contains(printed, want) || strings.Contains(printed, "s3cret") {
			t.Errorf("caddy hoko %s: %s", command, printed)
		}
	}
}

func TestCommand_MissingRightsNamesTheOwner(t *testing.T) {
	empty := testenv.EmptyDatabase(t)
	dsn := database(t, `DO $$ BEGIN IF to_regrole('reader') IS NULL THEN CREATE ROLE reader LOGIN; END IF; END $$;
		INSERT INTO hoko.workspaces (id) VALUES ('w');
		INSERT INTO hoko.api_keys (id, workspace_id, key_hash) VALUES ('k', 'w', sha256('x'));
		INSERT INTO hoko.idempotency_keys VALUES ('w', 'k', '', gen_random_uuid(),
			'{"customer": {"externalId": "c", "name": "n"}}', now() - interval '9 days');
		GRANT USAGE ON SCHEMA hoko TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA hoko TO reader`)
	t.Setenv("DATABASE_URL", dsn+"&user=reader")
	for _, command := range []string{
		"migrate --database-url=" + empty + "&user=reader", "keys revoke k",
		"keys create --workspace=w --scopes=linksRead", "idempotency clean",
		"idempotency erase --workspace=w --customer=c",
	} {
		_, _, err := hoko(t, strings.Fields(command)...)
		const want = "--database-url the connection string of the owner"
		if err == nil || !strings.Contains(err.Error(), "permission denied") || !strings.Contains(err.Error(), want) {
			t.Errorf("caddy hoko %s: %v", command, err)
		}
	}
}

func TestErase_UnknownCustomerFails(t *testing.T) {
	database(t, `INSERT INTO hoko.workspaces (id) VALUES ('w'), ('v');
		INSERT INTO hoko.customers (workspace_id, external_id) VALUES ('w', 'silent'), ('v', 'other');
		INSERT INTO hoko.idempotency_keys VALUES
			('w', 'k', '', gen_random_uuid(), '{"customer": {"externalId": "gone", "name": ""}}')`)
	for customer, known := range map[string]bool{"silent": true, "gone": true, "other": false, "typo": false} {
		out, _, err := hoko(t, "idempotency", "erase", "--workspace", "w", "--customer", customer)
		if known && (err != nil || out != "erased the customer from 0 stored answers\n") {
			t.Errorf("%s: %q, %v", customer, out, err)
		}
		const want = "no such customer: neither workspace w nor"
		if !known && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), customer)) {
			t.Errorf("%s: %q, %v", customer, out, err)
		}
	}
}

func TestKeys_EscapesControlCharacters(t *testing.T) {
	database(t, `INSERT INTO hoko.workspaces (id, name) VALUES (E'w\t1', E'Ac\x1b[31mme\n'), ('w2', 'Zoë');
		INSERT INTO hoko.api_keys (id, workspace_id, key_hash, name, key_start, scopes, allowed_hostnames) VALUES
		(E'k\r1', E'w\t1', sha256('1'), E'\u202ename\t', E'\x1b[2J', '{}', E'{"h\x07"}'),
		('k2', 'w2', sha256('2'), 'plain', 'hoko_1234', '{}', '{}')`)
	list := mustHoko(t, "keys", "list")
	_, _, unknown := hoko(t, "keys", "list", "--workspace", "none")
	revoked := mustHoko(t, "keys", "revoke", "k\r1")
	if n := strings.Count(list, "\n"); n != 3 {
		t.Errorf("%d lines, want 3", n)
	}
	for _, text := range []string{list, unknown.Error(), revoked} {
		if strings.ContainsAny(text, "\t\r\x1b\x07\u202e") {
			t.Errorf("unescaped: %q", text)
		}
		if !strings.Contains(text, `w\t1 (Ac\x1b[31mme\n)`) {
			t.Errorf("it does not name the workspace: %q", text)
		}
	}
	if !strings.Contains(list, "w2 (Zoë) ") {
		t.Errorf("it printed\n%s", list)
	}
}
