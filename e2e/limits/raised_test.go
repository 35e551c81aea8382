package limits

import (
	"flag"
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

var (
	limitsRounds  = flag.Int("limits.rounds", 1, "limits that are changed in each way")
	limitsFigures = flag.Bool("limits.figures", false, "print what a changed limit took, and fail where that is more than docs/measurements.md says")
)

// Clients that are denied for hours are admitted as soon as somebody raises their limit, although
// each edge remembers the denial.
func TestARaisedLimitHelps(t *testing.T) {
	f := harness.StartFleet(t, testenv.Redis(t))
	f.UntilListening(t, true)
	hourly := harness.PerKey(1, "1 hour", 1)
	var took harness.Latencies
	c := f.StartCrowd(t, f.NewKey(hourly))
	for _, raised := range []struct {
		name, before, raise string // SQL; $1 is the key's id
		key                 harness.KeyLimit
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
			harness.KeyLimit{}, "90003",
		},
		{
			"of the workspace, to the Caddyfile's", "UPDATE hoko.workspaces SET rate_limit = 1, rate_period = '1 hour', rate_burst = 1",
			"UPDATE hoko.workspaces SET rate_limit = NULL WHERE id = (SELECT workspace_id FROM hoko.api_keys WHERE id = $1)",
			harness.KeyLimit{}, "600",
		},
	} {
		t.Run(raised.name, func(t *testing.T) {
			for range *limitsRounds {
				if raised.before != "" {
					f.DB.Exec(raised.before)
				}
				key := f.NewKey(raised.key)
				c.SwitchKey(key)
				c.UntilEach(t, "everybody is denied", 3, harness.Call.Denied)
				f.DB.Exec(raised.raise, harness.KeyID(key))
				committed := time.Now()
				c.UntilEach(t, "the new limit is in force", 3, func(last harness.Call) bool { return last.Limit == raised.limit })
				for i := range f.Edges {
					took.Add(changed(t, f, harness.CallsOf(i, c.All()), committed, raised.limit))
				}
			}
		})
	}
	c.StopAndVerify(t)
	if *limitsFigures {
		took.Report(t, "a raised limit", harness.Target{P99: time.Second, Max: time.Second})
	}
}

// changed looks at one edge's calls around a change: the new limit is in force for good from its
// first use, and then its bucket is full. The result is how long after the commit the last call was
// sent that the old limit decided.
func changed(t *testing.T, f *harness.Fleet, calls []harness.Call, committed time.Time, limit string) (late time.Duration) {
	t.Helper()
	first, admitted := committed.Add(time.Hour), false
	for _, one := range calls {
		if one.Limit == limit {
			admitted = admitted || one.Admitted()
			if one.Answered.Before(first) {
				first = one.Answered
			}
		}
	}
	if !admitted {
		t.Error("nobody is admitted under the new limit")
	}
	for _, one := range calls {
		if one.Limit == limit {
			continue
		}
		if one.Sent.After(first) {
			t.Errorf("the old limit decided a call that was sent %s after the new one had decided one", one.Sent.Sub(first))
		}
		late = max(late, one.Sent.Sub(committed))
	}
	return late
}
