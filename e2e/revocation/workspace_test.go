package revocation

import (
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// A change to a workspace causes new lookups of its own keys only.
func TestWorkspaceChange_CostsOtherKeysNoLookup(t *testing.T) {
	s := harness.StartStack(t, harness.Replace("ttl 60s", "ttl 1h"))
	testenv.Until(t, "the edge listens", func() bool { return s.Listening(t, true) })
	c := s.Client(t, "HTTP/2.0")
	const canary = "hoko_key_of_another_workspace"
	s.DB.AddKey(canary, "conversionsWrite")
	s.DB.Exec("UPDATE hoko.api_keys SET workspace_id = 'ws_2' WHERE id = $1", harness.KeyID(canary))
	status := func(key string) int {
		return s.SellAs(t, c, key).StatusCode
	}
	if sold, rejected := status(harness.FullKey), status(canary); sold != 201 || rejected != 400 {
		t.Fatalf("got %d and %d, want 201, and 400 without a lead", sold, rejected)
	}
	const found = `hoko_key_lookups_total{result="found"}`
	before := s.Metric(t, found)
	for range 100 {
		s.DB.Exec("INSERT INTO hoko.workspaces DEFAULT VALUES")
		if got := status(harness.FullKey); got != 201 {
			t.Fatalf("got %d", got)
		}
	}
	s.DB.Exec("UPDATE hoko.workspaces SET disabled_at = now() WHERE id = 'ws_2'")
	testenv.Until(t, "the disabled workspace's key is rejected", func() bool { return status(canary) == 401 })
	if got := status(harness.FullKey); got != 201 {
		t.Errorf("got %d", got)
	}
	if cost := s.Metric(t, found) - before; cost != 1 { // the key of the disabled workspace
		t.Errorf("%v lookups", cost)
	}
	s.DB.Exec("UPDATE hoko.workspaces SET disabled_at = now() WHERE id = 'ws_1'")
	testenv.Until(t, "the key of a disabled workspace is 401", func() bool { return status(harness.FullKey) == 401 })
}
