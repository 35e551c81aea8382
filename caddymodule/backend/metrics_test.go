package backend

import "testing"

func TestIncrease_OfACountThatShrinks(t *testing.T) {
	for _, tc := range []struct{ last, now, want uint64 }{{0, 3, 3}, {3, 5, 2}, {5, 5, 0}, {5, 2, 0}} {
		if got := increase(tc.last, tc.now); got != tc.want {
			t.Errorf("from %d to %d: %d, want %d", tc.last, tc.now, got, tc.want)
		}
	}
}

// The process has one listener metric, although several backends may listen.
func TestListenersUp_NeedsAllThatAreStarted(t *testing.T) {
	up, down, unstarted := State{started: true}, State{started: true}, State{}
	up.Keys.Listening = true
	for _, tc := range []struct {
		all  []State
		want float64
	}{
		{nil, 0}, {[]State{unstarted}, 0}, {[]State{up}, 1}, {[]State{up, unstarted}, 1},
		{[]State{up, down}, 0}, {[]State{down}, 0}, {[]State{up, up}, 1},
	} {
		if got := listenersUp(tc.all); got != tc.want {
			t.Errorf("%+v: %v, want %v", tc.all, got, tc.want)
		}
	}
}
