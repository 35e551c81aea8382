package harness

import (
	"net/http"
	"testing"

	"hoko.to/edge/internal/testenv"
)

// Stack is an edge with its database, Redis and site.
type Stack struct {
	*Edge
	DB   DB
	Site *Site
	DSN  string
}

// StartStack starts an edge on a new seeded database, an empty Redis and a new site. edit changes
// the Caddyfile; nil leaves it as it is.
func StartStack(t testing.TB, edit func(string) string) *Stack {
	t.Helper()
	return StartStackWithSite(t, StartSite(t, nil), edit)
}

// StartStackAndClient is StartStack with a client that uses protocol, one of Protocols.
func StartStackAndClient(t testing.TB, protocol string, edit func(string) string) (*Stack, *http.Client) {
	t.Helper()
	s := StartStack(t, edit)
	return s, s.Client(t, protocol)
}

// StartStackWithSite is StartStack with a given site.
func StartStackWithSite(t testing.TB, site *Site, edit func(string) string) *Stack {
	t.Helper()
	dsn := testenv.Database(t)
	db := Seed(t, dsn)
	e := Start(t, Settings{DatabaseURL: dsn, RedisURL: testenv.Redis(t), Upstream: site.Upstream(), Edit: edit})
	return &Stack{e, db, site, dsn}
}

// UntilRejected posts sales with FullKey until the edge rejects the key.
func (s *Stack) UntilRejected(t testing.TB, c *http.Client) {
	t.Helper()
	testenv.Until(t, "the key is rejected", func() bool {
		got := s.Sell(t, c, ValidSale)
		if got.StatusCode != http.StatusUnauthorized {
			return false
		}
		WantAnswer(t, got, 401, Body401)
		return true
	})
}
