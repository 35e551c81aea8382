package limits

import (
	"flag"
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

var (
	limitsRounds  = flag.Int("limits.rounds", 1, "number of changes of each kind")
	limitsFigures = flag.Bool("limits.figures", false,
		"print times of changes, and fail if they exceed docs/measurements.md")
)

// Clients that are denied for hours are admitted as soon as their limit is raised.
func TestRaisedLimit_TakesEffect(t *testing.T) {
	f := harness.StartFleet(t, testenv.Redis(t))
	f.UntilListening(t, true)
	hourly := harness.PerKey(1, "1 hour", 1)
	var took harness.Latencies
	c := f.StartCrowd(t, f.NewKey(hourly))
	for _, raised := range []struct {
		name, before, raise string // SQL; $1 is the key's ID
		key                 harness.KeyLimit
		limit               string
	}{
		{
			"of the key", "",
			"UPDATE hoko.api_keys SET rate_limit = 100000, rate_burst = 90001, rate_period = NULL WHERE id = $1",
			hourly, "90001",
		},
		{
			"of the key, to its workspace's", "UPDATE hoko.workspaces SET rate_limit = 100000, rate_burst = 90002",
			"UPDATE hoko.api_keys SET rate_limit = NULL WHERE id = $1", hourly, "90002",
		},
		{
			"of the workspace", "UPDATE hoko.workspaces SET rate_limit = 1, rate_period = '1 hour', rate_burst = 1",
			`UPDATE hoko.workspaces SET rate_limit = 100000, rate_period = NULL, rate_burst = 90003
				WHERE id = (SELECT workspace_id FROM hoko.api_keys WHERE id = $1)`,
			harness.KeyLimit{}, "90003",
		},
		{
			"of the workspace, to the Caddyfile's",
			"UPDATE hoko.workspaces SET rate_limit = 1, rate_period = '1 hour', rate_burst = 1",
			`UPDATE hoko.workspaces SET rate_limit = NULL WHERE id = (SELECT workspace_id FROM hoko.api_keys
				WHERE id = $1)`,
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
				c.UntilEach(t, "every caller is denied", 3, harness.Call.Denied)
				f.DB.Exec(raised.raise, harness.KeyID(key))
				committed := time.Now()
				c.UntilEach(t, "the new limit is in force", 3,
					func(last harness.Call) bool { return last.Limit == raised.limit })
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

// changed checks one edge's calls around a change: after its first use the new limit always
// decides, and its bucket is full at first. The result is the time from the commit to the last call
// that the old limit decided.
func changed(t *testing.T, f *harness.Fleet, calls []harness.Call, committed time.Time,
	limit string) (late time.Duration) {
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
		t.Error("no call is admitted under the new limit")
	}
	for _, one := range calls {
		if one.Limit == limit {
			continue
		}
		if one.Sent.After(first) {
			t.Errorf("the old limit decided a call sent %s after the new one had", one.Sent.Sub(first))
		}
		late = max(late, one.Sent.Sub(committed))
	}
	return late
}
