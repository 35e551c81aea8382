package harness

import (
	"net/http"
	"testing"

	"hoko.to/edge/internal/testenv"
)

// Stack is an edge with everything around it.
type Stack struct {
	*Edge
	DB   DB
	Site *Site
	DSN  string
}

// StartStack starts an edge on a seeded database, a Redis and a site of its own. edit changes the
// shipped Caddyfile, unless it is nil.
func StartStack(t testing.TB, edit func(string) string) *Stack {
	t.Helper()
	return StartStackBefore(t, StartSite(t, nil), edit)
}

// StartStackBefore is StartStack before another site.
func StartStackBefore(t testing.TB, site *Site, edit func(string) string) *Stack {
	t.Helper()
	dsn := testenv.Database(t)
	db := Seed(t, dsn)
	e := Start(t, Settings{DatabaseURL: dsn, RedisURL: testenv.Redis(t), Upstream: site.Upstream(), Edit: edit})
	return &Stack{e, db, site, dsn}
}

// UntilRefused sells until the edge knows that the key no longer holds.
func (s *Stack) UntilRefused(t testing.TB, c *http.Client) {
	t.Helper()
	testenv.Until(t, "the key is refused", func() bool {
		got := s.Sell(t, c, ValidSale)
		if got.StatusCode != http.StatusUnauthorized {
			return false
		}
		WantAnswer(t, got, 401, Body401)
		return true
	})
}
