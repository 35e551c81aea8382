package e2e

import (
	"testing"

	"hoko.to/edge/internal/testenv"
)

// stack is an edge with everything around it.
type stack struct {
	*edge
	db   db
	site *site
	dsn  string
}

// startStack starts an edge on a seeded database, a Redis and a site of its own.
func startStack(t testing.TB, edit func(string) string) *stack {
	t.Helper()
	dsn, site := testenv.Database(t), startSite(t, nil)
	db := seed(t, dsn)
	return &stack{start(t, settings{databaseURL: dsn, redisURL: testenv.Redis(t), upstream: site.upstream(), edit: edit}), db, site, dsn}
}
