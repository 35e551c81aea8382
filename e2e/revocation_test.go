package e2e

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

var (
	revocationRounds  = flag.Int("revocation.rounds", 1, "revocations of each kind, and an eighth as many for each way in which the listener is lost")
	revocationFigures = flag.Bool("revocation.figures", false, "print what revocation took, and fail where that is more than docs/keys.md says")
)

// revocation is a statement that takes a key's access, and what its callers get from then on.
type revocation struct {
	name, sql     string
	status        int
	sale, proxied string // the body, by route
}

var revocations = []revocation{
	{"revoked", "UPDATE hoko.api_keys SET revoked_at = now() WHERE id = $1", 401, body401, body401},
	{"deleted", "DELETE FROM hoko.api_keys WHERE id = $1", 401, body401, body401},
	{"expired", "UPDATE hoko.api_keys SET expires_at = now() WHERE id = $1", 401, body401, body401},
	{"scopes taken", "UPDATE hoko.api_keys SET scopes = '{linksWrite}' WHERE id = $1", 403, body403,
		`{"error":{"en":"Missing required scopes","ar":"الصلاحيات المطلوبة مفقودة"},"missingScopes":["linksRead"]}`},
	{"workspace disabled", "UPDATE hoko.workspaces SET disabled_at = now() WHERE id = (SELECT workspace_id FROM hoko.api_keys WHERE id = $1)",
		401, body401, body401},
}

func TestRevocationReachesEveryEdgeUnderLoad(t *testing.T) {
	f := startFleet(t, testenv.Redis(t))
	f.untilListening(t, true)
	c := f.gather(t, f.newKey(unlimited))
	var took lags
	for _, r := range revocations {
		t.Run(r.name, func(t *testing.T) {
			for range *revocationRounds {
				took.add(f.revoke(t, c, r, nothingElse)...)
			}
		})
	}
	t.Run("expires by itself", func(t *testing.T) { f.expire(t, c) })
	c.stop(t)
	took.report(t, "the listener is up", bar{p99: 100 * time.Millisecond, max: time.Second})
}

// nothingElse happens beside the revocation.
func nothingElse() (after func()) { return func() {} }

// revoke gives the crowd a new key, takes its access once every caller is
// admitted, and waits until every caller is refused. beside begins just before the
// revocation, and what it returns follows at once. The result is by edge.
func (f *fleet) revoke(t *testing.T, c *crowd, r revocation, beside func() (after func())) []lag {
	t.Helper()
	key := f.newKey(unlimited)
	c.use(key)
	c.untilEach(t, "the new key is admitted", 1, call.admitted)
	after := beside()
	began := time.Now()
	f.db.exec(r.sql, keyID(key))
	committed := time.Now()
	after()
	c.untilEach(t, "the key is refused: "+r.name, 20, func(last call) bool { return last.status == r.status })
	took := make([]lag, len(f.edges))
	for i := range f.edges {
		last, err := judge(of(i, c.all()), began, committed, r.status)
		if err != nil {
			t.Errorf("%s, edge %d: %v", r.name, i, err)
		}
		took[i] = last
		wantAnswer(t, f.sell(t, i, key), r.status, r.sale)
		wantAnswer(t, f.look(t, i, key), r.status, r.proxied)
	}
	return took
}

// judge looks at one edge's calls with a key whose revocation was begun and, as
// its commit returned, done. The key holds until it is refused for the first time,
// which is not before the revocation has begun, and from then on never again.
func judge(calls []call, began, committed time.Time, refusal int) (last lag, err error) {
	var refused time.Time // the earliest answer
	for _, one := range calls {
		switch {
		case one.status == refusal && one.answered.Before(began):
			return lag{}, fmt.Errorf("refused %s before the revocation", began.Sub(one.answered))
		case one.status == refusal:
			if refused.IsZero() || one.answered.Before(refused) {
				refused = one.answered
			}
		case !one.admitted():
			return lag{}, fmt.Errorf("answered %d", one.status)
		}
	}
	for _, one := range calls {
		if !one.admitted() {
			continue
		}
		if after := one.sent.Sub(refused); after > 0 {
			return lag{}, fmt.Errorf("admitted a call that was sent %s after it had refused one", after)
		}
		last.sent = max(last.sent, one.sent.Sub(committed))
		last.answered = max(last.answered, one.answered.Sub(committed))
	}
	return last, nil
}

// expire has a key expire while it is in use, of which no edge is told. One
// clock dates the key and the calls, so the moment is exact.
func (f *fleet) expire(t *testing.T, c *crowd) {
	t.Helper()
	key := f.newKey(unlimited)
	c.use(key)
	c.untilEach(t, "the new key is admitted", 1, call.admitted)
	var expires time.Time
	err := f.db.QueryRow(t.Context(), "UPDATE hoko.api_keys SET expires_at = clock_timestamp() + interval '1 second' WHERE id = $1 RETURNING expires_at",
		keyID(key)).Scan(&expires)
	if err != nil {
		t.Fatal(err)
	}
	c.untilEach(t, "the key has expired", 3, func(last call) bool { return last.status == 401 })
	for _, one := range c.all() {
		if one.admitted() && one.sent.After(expires) || one.status == 401 && one.answered.Before(expires) {
			t.Fatalf("expires at %s, %v", expires, one)
		}
	}
}
