package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

func TestJSON_CountsAndVersions(t *testing.T) {
	dsn := testenv.EmptyDatabase(t)
	t.Setenv("DATABASE_URL", dsn)
	latest := int(postgres.LatestVersion())
	for _, step := range []struct{ args, before, want string }{
		{"migrate --status", "", fmt.Sprintf(`{"version":0,"latest":%d}`, latest)},
		{"migrate", "", fmt.Sprintf(`{"version":%d,"latest":%[1]d}`, latest)},
		{"migrate --status", "UPDATE hoko.schema_version SET version = 2",
			fmt.Sprintf(`{"version":2,"latest":%d}`, latest)},
		{"idempotency clean", `INSERT INTO hoko.workspaces (id) VALUES ('w');
			INSERT INTO hoko.idempotency_keys (workspace_id, key, fingerprint, sale_id, response, created_at)
			SELECT 'w', age, '', gen_random_uuid(), '{"customer": {"externalId": "c", "name": "n"}}',
				now() - age::interval FROM unnest('{1 day,9 days}'::text[]) age`, `{"deleted":1}`},
		{"idempotency erase --workspace w --customer c", "", `{"erased":1}`},
	} {
		if step.before != "" {
			testenv.Connect(t, dsn).Exec(step.before)
		}
		got := mustHoko(t, append(strings.Fields(step.args), "--json")...)
		var compact strings.Builder
		var document any
		if err := json.Unmarshal([]byte(got), &document); err != nil {
			t.Fatalf("%s: %v in %s", step.args, err, got)
		}
		for line := range strings.Lines(got) {
			compact.WriteString(strings.ReplaceAll(strings.TrimSpace(line), `": `, `":`))
		}
		if compact.String() != step.want {
			t.Errorf("%s: %s, want %s", step.args, got, step.want)
		}
	}
	_, _, err := hoko(t, "health", "--json", "--url=http://127.0.0.1:1")
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("health: %v", err)
	}
}
