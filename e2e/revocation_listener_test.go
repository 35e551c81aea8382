package e2e

import (
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

// A key that is revoked while no edge can hear of it is refused all the same: the
// listener is back before long, and until then nothing cached is trusted for long.
func TestRevocationIsNotMissedWhileTheListenerIsAway(t *testing.T) {
	f := startFleet(t, testenv.Redis(t))
	c := f.gather(t, f.newKey(unlimited))
	for _, way := range []struct {
		name   string
		beside func(t *testing.T) func() (after func())
	}{
		{"terminated at that moment", f.terminated},
		{"connecting again", f.connecting},
		{"cut", f.cut},
		{"mute", f.mute},
	} {
		t.Run(way.name, func(t *testing.T) {
			var took lags
			f.untilListening(t, true)
			for i := range max(1, *revocationRounds/8) {
				took.add(f.revoke(t, c, revocations[i%len(revocations)], way.beside(t))...)
			}
			f.relay.mend(t)
			f.relay.speak()
			f.untilListening(t, true)
			took.report(t, "the listener is "+way.name, bar{5 * time.Second, 5 * time.Second})
		})
	}
	c.stop(t)
}

// terminated: Postgres ends the listeners' sessions, which takes effect while the
// revocation commits.
func (f *fleet) terminated(t *testing.T) func() func() {
	return func() func() {
		f.untilListening(t, true)
		const listeners = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()"
		if f.db.count(listeners, listenerName) == 0 {
			t.Error("no listener was terminated")
		}
		return func() {}
	}
}

// connecting: every edge has dialled again and waits for the server's greeting, so
// that it listens only after the commit.
func (f *fleet) connecting(t *testing.T) func() func() {
	return func() func() {
		f.untilListening(t, true)
		f.relay.cut()
		f.relay.silence()
		f.relay.mend(t)
		poll(t, "every edge has dialled again", func() bool { return f.relay.accepts() >= len(f.edges) })
		return f.relay.speak
	}
}

// cut: there is no connection to be had, and every edge knows.
func (f *fleet) cut(t *testing.T) func() func() {
	return func() func() {
		f.relay.cut()
		f.untilListening(t, false)
		return func() {}
	}
}

// mute: the connections are there, and no edge knows yet that nothing arrives.
func (f *fleet) mute(t *testing.T) func() func() {
	f.relay.speak()
	f.untilListening(t, true)
	return func() func() {
		f.relay.silence()
		return func() {}
	}
}
