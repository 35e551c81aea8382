package e2e

import (
	"flag"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

var (
	limitsRounds  = flag.Int("limits.rounds", 1, "limits that are changed in each way")
	limitsFigures = flag.Bool("limits.figures", false, "print what a changed limit took, and fail where that is more than docs/limits.md says")
)

// Clients that are denied for hours are admitted as soon as somebody raises their
// limit, although each edge remembers the denial.
func TestARaisedLimitHelps(t *testing.T) {
	f := startFleet(t, testenv.Redis(t))
	f.untilListening(t, true)
	hourly := keyLimit{1, "1 hour", 1}
	var took figures
	c := f.gather(t, f.newKey(hourly))
	for _, raised := range []struct {
		name, before, raise string // SQL; $1 is the key's id
		key                 keyLimit
		limit               string
	}{
		{
			"of the key", "", "UPDATE hoko.api_keys SET rate_limit = 100000, rate_burst = 90001, rate_period = NULL WHERE id = $1",
			hourly, "90001",
		},
		{
			"of the key, to its workspace's", "UPDATE hoko.workspaces SET rate_limit = 100000, rate_burst = 90002",
			"UPDATE hoko.api_keys SET rate_limit = NULL WHERE id = $1", hourly, "90002",
		},
		{
			"of the workspace", "UPDATE hoko.workspaces SET rate_limit = 1, rate_period = '1 hour', rate_burst = 1",
			"UPDATE hoko.workspaces SET rate_limit = 100000, rate_period = NULL, rate_burst = 90003 WHERE id = (SELECT workspace_id FROM hoko.api_keys WHERE id = $1)",
			keyLimit{}, "90003",
		},
		{
			"of the workspace, to the Caddyfile's", "UPDATE hoko.workspaces SET rate_limit = 1, rate_period = '1 hour', rate_burst = 1",
			"UPDATE hoko.workspaces SET rate_limit = NULL WHERE id = (SELECT workspace_id FROM hoko.api_keys WHERE id = $1)",
			keyLimit{}, "600",
		},
	} {
		t.Run(raised.name, func(t *testing.T) {
			for range *limitsRounds {
				if raised.before != "" {
					f.db.exec(raised.before)
				}
				key := f.newKey(raised.key)
				c.use(key)
				c.untilEach(t, "everybody is denied", 3, call.denied)
				f.db.exec(raised.raise, keyID(key))
				committed := time.Now()
				c.untilEach(t, "the new limit is in force", 3, func(last call) bool { return last.limit == raised.limit })
				for i := range f.edges {
					took.add(f.changed(t, of(i, c.all()), committed, raised.limit))
				}
			}
		})
	}
	c.stop(t)
	if *limitsFigures {
		took.report(t, "a raised limit", bar{time.Second, time.Second})
	}
}

// changed looks at one edge's calls around a change: the new limit is in force for
// good from its first use, and then its bucket is full. The result is how long after the
// commit the last call was sent that the old limit decided.
func (f *fleet) changed(t *testing.T, calls []call, committed time.Time, limit string) (late time.Duration) {
	t.Helper()
	first, admitted := committed.Add(time.Hour), false
	for _, one := range calls {
		if one.limit == limit {
			admitted = admitted || one.admitted()
			if one.answered.Before(first) {
				first = one.answered
			}
		}
	}
	if !admitted {
		t.Error("nobody is admitted under the new limit")
	}
	for _, one := range calls {
		if one.limit == limit {
			continue
		}
		if one.sent.After(first) {
			t.Errorf("the old limit decided a call that was sent %s after the new one had decided one", one.sent.Sub(first))
		}
		late = max(late, one.sent.Sub(committed))
	}
	return late
}
