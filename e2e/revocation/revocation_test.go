package revocation

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

var (
	revocationRounds = flag.Int("revocation.rounds", 1,
		"revocations of each kind; an eighth as many for each listener fault")
	revocationFigures = flag.Bool("revocation.figures", false,
		"print revocation times, and fail if they exceed docs/measurements.md")
)

// revocation is a statement that takes access from a key, and the answers that follow.
type revocation struct {
	name, sql     string
	status        int
	sale, proxied string // body of the answer, by route
}

var revocations = []revocation{
	{"revoked", "UPDATE hoko.api_keys SET revoked_at = now() WHERE id = $1", 401, harness.Body401, harness.Body401},
	{"deleted", "DELETE FROM hoko.api_keys WHERE id = $1", 401, harness.Body401, harness.Body401},
	{"expired", "UPDATE hoko.api_keys SET expires_at = now() WHERE id = $1", 401, harness.Body401, harness.Body401},
	{"scopes taken", "UPDATE hoko.api_keys SET scopes = '{linksWrite}' WHERE id = $1", 403, harness.Body403,
		`{"error":{"en":"Missing required scopes","ar":"الصلاحيات المطلوبة مفقودة"},"missingScopes":["linksRead"]}`},
	{"workspace disabled", `UPDATE hoko.workspaces SET disabled_at = now() WHERE id = (SELECT workspace_id
		FROM hoko.api_keys WHERE id = $1)`,
		401, harness.Body401, harness.Body401},
}

func TestRevocation_ReachesEveryEdgeUnderLoad(t *testing.T) {
	f := harness.StartFleet(t, testenv.Redis(t))
	f.UntilListening(t, true)
	c := f.StartCrowd(t, f.NewKey(harness.Unlimited))
	var took lags
	for _, r := range revocations {
		t.Run(r.name, func(t *testing.T) {
			for range *revocationRounds {
				took.add(revoke(t, f, c, r, undisturbed)...)
			}
		})
	}
	t.Run("expires by itself", func(t *testing.T) { expire(t, f, c) })
	c.StopAndVerify(t)
	took.report(t, "the listener is up", harness.Target{P99: 100 * time.Millisecond, Max: time.Second})
}

// undisturbed is a revocation without a fault.
func undisturbed() (after func()) { return func() {} }

// revoke gives the crowd a new key, revokes it once every caller has been admitted, and waits until
// every caller is rejected. during runs just before the revocation, its result just after. The lags
// are by edge.
func revoke(t *testing.T, f *harness.Fleet, c *harness.Crowd, r revocation, during func() (after func())) []lag {
	t.Helper()
	key := f.NewKey(harness.Unlimited)
	c.SwitchKey(key)
	c.UntilEach(t, "the new key is admitted", 1, harness.Call.Admitted)
	after := during()
	began := time.Now()
	f.DB.Exec(r.sql, harness.KeyID(key))
	committed := time.Now()
	after()
	c.UntilEach(t, "the key is rejected: "+r.name, 20, func(last harness.Call) bool { return last.Status == r.status })
	took := make([]lag, len(f.Edges))
	for i := range f.Edges {
		last, err := checkCalls(harness.CallsOf(i, c.All()), began, committed, r.status)
		if err != nil {
			t.Errorf("%s, edge %d: %v", r.name, i, err)
		}
		took[i] = last
		harness.WantAnswer(t, f.Sell(t, i, key), r.status, r.sale)
		harness.WantAnswer(t, f.GetLinks(t, i, key), r.status, r.proxied)
	}
	return took
}

// checkCalls checks one edge's calls with a key that was revoked between began and committed: the
// edge never rejects it before began and never admits it after the first rejection.
func checkCalls(calls []harness.Call, began, committed time.Time, rejection int) (last lag, err error) {
	var rejected time.Time // the earliest answer
	for _, one := range calls {
		switch {
		case one.Status == rejection && one.Answered.Before(began):
			return lag{}, fmt.Errorf("rejected %s before the revocation", began.Sub(one.Answered))
		case one.Status == rejection:
			if rejected.IsZero() || one.Answered.Before(rejected) {
				rejected = one.Answered
			}
		case !one.Admitted():
			return lag{}, fmt.Errorf("answered %d", one.Status)
		}
	}
	for _, one := range calls {
		if !one.Admitted() {
			continue
		}
		if after := one.Sent.Sub(rejected); after > 0 {
			return lag{}, fmt.Errorf("admitted a call that was sent %s after the first rejection", after)
		}
		last.sent = max(last.sent, one.Sent.Sub(committed))
		last.answered = max(last.answered, one.Answered.Sub(committed))
	}
	return last, nil
}

// expire sets expires_at of a key that is in use, without a notification. The same clock dates the
// key and the calls, so the moment is exact.
func expire(t *testing.T, f *harness.Fleet, c *harness.Crowd) {
	t.Helper()
	key := f.NewKey(harness.Unlimited)
	c.SwitchKey(key)
	c.UntilEach(t, "the new key is admitted", 1, harness.Call.Admitted)
	var expires time.Time
	err := f.DB.Conn.QueryRow(t.Context(), `UPDATE hoko.api_keys
		SET expires_at = clock_timestamp() + interval '1 second' WHERE id = $1 RETURNING expires_at`,
		harness.KeyID(key)).Scan(&expires)
	testenv.NoError(t, err)
	c.UntilEach(t, "the key has expired", 3, func(last harness.Call) bool { return last.Status == 401 })
	for _, one := range c.All() {
		if one.Admitted() && one.Sent.After(expires) || one.Status == 401 && one.Answered.Before(expires) {
			t.Fatalf("expires at %s, %v", expires, one)
		}
	}
}
