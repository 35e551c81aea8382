package e2e

import (
	"fmt"
	"testing"

	"hoko.to/edge/internal/testenv"
)

func TestAllSpellingsOfAKeyShareOneBucketOnEveryEdge(t *testing.T) {
	f := startFleet(t, testenv.Redis(t))
	key := f.newKey(keyLimit{12, "1 day", 12})
	left := 12
	for _, spelling := range []string{"Bearer " + key, "bearer " + key, key, "BEARER   " + key} {
		for i := range f.edges {
			left--
			got := f.look(t, i, spelling)
			if got.StatusCode != 200 {
				t.Fatalf("%q: got %d %s", spelling, got.StatusCode, got.body)
			}
			wantHeader(t, got, "X-RateLimit-Remaining", fmt.Sprint(left))
		}
	}
	for i := range f.edges {
		for _, spelling := range []string{"Bearer " + key, key} {
			if got := f.sell(t, i, spelling); got.StatusCode != 429 {
				t.Errorf("edge %d, %q: got %d", i, spelling, got.StatusCode)
			}
		}
	}
}

func TestAnotherKeysTrafficNeverChangesMine(t *testing.T) {
	f := startFleet(t, testenv.Redis(t))
	const burst = 30
	mine := f.newKey(keyLimit{burst, "1 day", burst})
	c := f.gather(t, f.newKey(keyLimit{burst, "1 day", burst})) // a neighbour in the same workspace, who is denied before long
	c.untilEach(t, "the neighbour calls", 1, func(call) bool { return true })
	for i := range burst {
		if i == burst/2 {
			c.untilEach(t, "the neighbour is denied", 1, call.denied)
		}
		got := f.look(t, i%len(f.edges), mine)
		if got.StatusCode != 200 {
			t.Fatalf("call %d: got %d %s", i, got.StatusCode, got.body)
		}
		wantHeader(t, got, "X-RateLimit-Limit", fmt.Sprint(burst))
		wantHeader(t, got, "X-RateLimit-Remaining", fmt.Sprint(burst-1-i))
	}
	if got := f.look(t, 0, mine); got.StatusCode != 429 {
		t.Errorf("got %d beyond the burst", got.StatusCode)
	}
	c.end()
}
