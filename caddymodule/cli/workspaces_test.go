package cli

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
)

func TestWorkspaces_PrintsWhatItDid(t *testing.T) {
	d := testenv.Connect(t, database(t, ""))
	for _, step := range []struct{ args, want string }{
		{"list", `^ID  NAME  STATE  LIMIT  VALID KEYS  CREATED\n$`},
		{"create Acme --id ws_1 --limit 600/1m --burst 50",
			`^created workspace ws_1 \(Acme\); each of its keys has the limit 600/1m burst 50\n$`},
		{"create Other", `^created workspace [0-9a-f-]{36} \(Other\); its keys have the limit of the route\n$`},
		{"update Acme --name Acme2 --limit 5000/1h30m",
			`^changed workspace ws_1 \(Acme2\); each of its keys has the limit 5000/1h30m\n$`},
		{"update ws_1 --burst 7", `has the limit 5000/1h30m burst 7\n$`},
		{"disable Acme2", `^disabled workspace ws_1 \(Acme2\); edges reject its 0 valid keys within a second\n$`},
		{"disable ws_1", `^workspace ws_1 \(Acme2\) is disabled 20\S+Z already; nothing changed\n$`},
		{"list", `(?m)^ws_1 +Acme2  disabled 20\S+Z  5000/1h30m burst 7  0 +20\S+Z$`},
		{"list", `(?m)^[0-9a-f-]{36}  Other  enabled +-  +0  +20\S+Z$`},
		{"enable ws_1", `^enabled workspace ws_1 \(Acme2\); edges accept its 0 valid keys within a second\n$`},
		{"enable ws_1", `^workspace ws_1 \(Acme2\) is enabled already; nothing changed\n$`},
		{"update ws_1 --limit none", `; its keys have the limit of the route\n$`},
	} {
		got := mustHoko(t, append([]string{"workspaces"}, strings.Fields(step.args)...)...)
		if !regexp.MustCompile(step.want).MatchString(got) {
			t.Errorf("workspaces %s prints %q, want %s", step.args, got, step.want)
		}
	}
	if n := d.Count(`SELECT count(*) FROM hoko.audit WHERE command LIKE 'workspaces %'`); n != 7 {
		t.Errorf("%d rows in hoko.audit, want 7", n)
	}
}

func TestWorkspaces_JSON(t *testing.T) {
	d := testenv.Connect(t, database(t, ""))
	if got := mustHoko(t, "workspaces", "list", "--json"); got != "{\n  \"workspaces\": []\n}\n" {
		t.Errorf("no workspaces are %q", got)
	}
	members := func(text string) map[string]any {
		t.Helper()
		var document map[string]any
		if err := json.Unmarshal([]byte(text), &document); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		return document
	}
	created := mustHoko(t, "workspaces", "create", "<Acme>", "--id", "ws_1", "--limit=10/1d", "--burst=5", "--json")
	d.Exec(`UPDATE hoko.workspaces SET created_at = '2026-01-02 03:04:05.678Z'`)
	disabled := mustHoko(t, "workspaces", "disable", "ws_1", "--json")
	if c, at := members(created), members(disabled)["disabled_at"]; c["limit"] != "10/1d" || c["burst"] != 5.0 ||
		at == nil || !strings.HasSuffix(at.(string), "Z") {
		t.Errorf("it printed %s%s", created, disabled)
	}
	mustHoko(t, "workspaces", "update", "ws_1", "--limit=none", "--json")
	const want = `{
  "workspaces": [
    {
      "id": "ws_1",
      "name": "<Acme>",
      "state": "enabled",
      "disabled_at": null,
      "limit": null,
      "burst": null,
      "valid_keys": 0,
      "created_at": "2026-01-02T03:04:05.678Z"
    }
  ]
}
`
	enabled := mustHoko(t, "workspaces", "enable", "ws_1", "--json")
	if got := mustHoko(t, "workspaces", "list", "--json"); got != want || len(members(enabled)) != 8 {
		t.Errorf("it printed\n%s%s", enabled, got)
	}
}

func TestWorkspaces_InvalidFails(t *testing.T) {
	d := testenv.Connect(t, database(t, `INSERT INTO hoko.workspaces (id, name) VALUES ('ws_1', 'Acme')`))
	for args, want := range map[string]string{
		"create":                            "accepts 1 arg",
		"create Acme":                       "in use: there is workspace ws_1 (Acme)",
		"create b --id=":                    "--id is empty",
		"create b --id ws_1":                "in use",
		"create b --limit 600":              "--limit: limit \"600\": want RATE/PERIOD",
		"create b --limit 600/1m --burst 0": "--burst must be 1 or more",
		"create b --limit 1/366d --burst 2": "--limit: a burst of 2 takes more than",
		"create b --burst 5":                "--burst needs a --limit",
		"create b --limit none --burst 5":   "--burst needs a --limit other than none",
		"create b --limit=":                 "want RATE/PERIOD",
		"update ws_1":                       "[name limit burst] is required",
		"update ws_1 --name=":               "1 to 255 printable characters",
		"update ws_1 --burst 5":             "--burst needs a --limit: the workspace has none",
		"update ws_2 --name b":              "no such workspace \"ws_2\": there are ws_1 (Acme)",
		"disable ws_2":                      "no such workspace",
		"enable":                            "accepts 1 arg",
		"list Acme":                         "unknown command \"Acme\"",
		"delete ws_1":                       "unknown command \"delete\"",
	} {
		_, _, err := hoko(t, append([]string{"workspaces"}, strings.Fields(args)...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("workspaces %s: %v, want %s", args, err, want)
		}
	}
	if n := d.Count(`SELECT (SELECT count(*) FROM hoko.workspaces) + (SELECT count(*) FROM hoko.audit)`); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestWorkspaces_EscapesControlCharacters(t *testing.T) {
	database(t, `INSERT INTO hoko.workspaces (id, name) VALUES (E'w\t1', E'Ac\x1b[31mme\n')`)
	for _, args := range [][]string{{"list"}, {"disable", "w\t1"}, {"disable", "w\t1"}, {"enable", "w\t1"},
		{"update", "w\t1", "--limit=1/s"}} {
		got := mustHoko(t, append([]string{"workspaces"}, args...)...)
		if strings.ContainsAny(got, "\t\x1b") || !strings.Contains(got, `w\t1`) {
			t.Errorf("workspaces %q prints %q", args, got)
		}
	}
}

// The edge's role may list workspaces and change none.
func TestWorkspaces_NeedTheOwner(t *testing.T) {
	dsn := database(t, `DO $$ BEGIN IF to_regrole('reader') IS NULL THEN CREATE ROLE reader LOGIN; END IF; END $$;
		INSERT INTO hoko.workspaces (id, name) VALUES ('ws_1', 'Acme');
		GRANT USAGE ON SCHEMA hoko TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA hoko TO reader`)
	t.Setenv("DATABASE_URL", dsn+"&user=reader")
	mustHoko(t, "workspaces", "list")
	for _, args := range []string{"create b", "update ws_1 --name b", "disable ws_1", "enable ws_1"} {
		_, _, err := hoko(t, append([]string{"workspaces"}, strings.Fields(args)...)...)
		const want = "--database-url the connection string of the owner"
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("workspaces %s: %v", args, err)
		}
	}
}
