package revocation

import (
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// Whatever keeps the triggers from firing, the edge detects it.
func TestRevocation_WithoutTriggersIsDetected(t *testing.T) {
	s := harness.StartStack(t, harness.Replace("ttl 60s", "ttl 1s"))
	testenv.Until(t, "the edge listens", func() bool { return s.Listening(t, true) })
	c := s.Client(t, "HTTP/2.0")
	harness.WantAnswer(t, s.SellAs(t, c, harness.ReadOnlyKey), 403, harness.Body403)
	harness.WantStatus(t, s.Sell(t, c, harness.ValidSale), 201)
	s.DB.Exec("ALTER TABLE hoko.api_keys DISABLE TRIGGER ALL")
	s.DB.Exec("UPDATE hoko.api_keys SET revoked_at = now() WHERE id = $1", harness.KeyID(harness.FullKey))
	s.UntilRejected(t, c)
	testenv.Until(t, "it is counted", func() bool { return s.Metric(t, "hoko_key_unannounced_changes_total") == 1 })
	if !s.Listening(t, true) {
		t.Error("the listener counts as down")
	}
	const line = "a key has changed and no notification has announced it"
	log := s.Log.String()
	if strings.Count(log, line) != 1 || !strings.Contains(log, `"key_id":"`+harness.KeyID(harness.FullKey)+`"`) ||
		strings.Contains(log, harness.FullKey) {
		t.Error("want one log line with the key's ID and without the key")
	}
	out, err := s.Caddy(t, "hoko", "doctor")
	const finding = "FAIL  triggers: the triggers on hoko.api_keys that notify of DELETE, UPDATE are disabled"
	if err == nil || !strings.Contains(out, finding) {
		t.Errorf("doctor: %v\n%s", err, out)
	}
}
