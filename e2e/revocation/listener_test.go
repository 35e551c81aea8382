package revocation

import (
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/relay"
	"hoko.to/edge/internal/testenv"
)

// A key that is revoked while no edge receives notifications is rejected nevertheless: the listener
// reconnects, and until then cached keys are trusted only briefly.
func TestRevocation_WhileTheListenerIsDown(t *testing.T) {
	f := harness.StartFleet(t, testenv.Redis(t))
	c := f.StartCrowd(t, f.NewKey(harness.Unlimited))
	for _, way := range []struct {
		name   string
		during func(t *testing.T, f *harness.Fleet) func() (after func())
	}{
		{"terminated at the same time", terminated},
		{"reconnecting", connecting},
		{"cut", cut},
		{"mute", mute},
	} {
		t.Run(way.name, func(t *testing.T) {
			var took lags
			f.UntilListening(t, true)
			for i := range max(1, *revocationRounds/8) {
				took.add(revoke(t, f, c, revocations[i%len(revocations)], way.during(t, f))...)
			}
			restore(t, f)
			f.UntilListening(t, true)
			took.report(t, "the listener is "+way.name, harness.Target{P99: 5 * time.Second, Max: 5 * time.Second})
		})
	}
	c.StopAndVerify(t)
}

// terminated ends the listeners' sessions, which takes effect while the revocation commits.
func terminated(t *testing.T, f *harness.Fleet) func() func() {
	return func() func() {
		f.UntilListening(t, true)
		const listeners = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1
			AND datname = current_database()`
		if f.DB.Count(listeners, harness.ListenerName) == 0 {
			t.Error("no listener was terminated")
		}
		return func() {}
	}
}

// connecting makes every edge reconnect, but listen only after the commit.
func connecting(t *testing.T, f *harness.Fleet) func() func() {
	return func() func() {
		f.UntilListening(t, true)
		f.Relay.Cut()
		silence(f)
		testenv.NoError(t, f.Relay.Open())
		testenv.Until(t, "every edge has redialed", func() bool { return f.Relay.Accepted() >= len(f.Edges) })
		return f.Relay.Resume
	}
}

// cut closes all connections and waits until every edge has noticed.
func cut(t *testing.T, f *harness.Fleet) func() func() {
	return func() func() {
		f.Relay.Cut()
		f.UntilListening(t, false)
		return func() {}
	}
}

// mute keeps the connections open but silent. No edge has noticed yet.
func mute(t *testing.T, f *harness.Fleet) func() func() {
	f.Relay.Resume()
	f.UntilListening(t, true)
	return func() func() {
		silence(f)
		return func() {}
	}
}

// silence stops the traffic in both directions.
func silence(f *harness.Fleet) {
	f.Relay.Stall(relay.ToServer)
	f.Relay.Stall(relay.ToClient)
}

func restore(t *testing.T, f *harness.Fleet) {
	t.Helper()
	testenv.NoError(t, f.Relay.Restore())
}
