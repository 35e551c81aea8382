package harness

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"hoko.to/edge/internal/relay"
	"hoko.to/edge/internal/testenv"
)

// Fleet is three edges that share a database and a Redis. Two of their routes require a key: that
// of sales, and /api/links, which goes to the site.
type Fleet struct {
	Edges   []*Edge
	clients []*http.Client // one for each edge, for single calls
	DB      DB
	DSN     string
	Relay   *relay.Relay // between the edges' listeners and Postgres
	keys    int          // number of keys created
}

const fleetSize = 3

// ListenerName is the application_name of the edges' listeners in Postgres.
const ListenerName = "a-listener"

// linksRoute is what a fleet's Caddyfile adds to the shipped one.
const linksRoute = `
		@links path /api/links
		api_key_auth @links {
			scopes linksRead
		}
		redis_rate_limit @links {
			limit 600/1m
		}
`

// StartFleet starts a fleet on a new seeded database.
func StartFleet(t testing.TB, redisURL string) *Fleet {
	t.Helper()
	dsn := testenv.Database(t)
	site := StartSite(t, map[string]http.HandlerFunc{"/api/links": func(http.ResponseWriter, *http.Request) {}})
	between, through := testenv.Relay(t, dsn)
	testenv.NoError(t, between.Open())
	f := &Fleet{DB: Seed(t, dsn), DSN: dsn, Relay: between}
	edit := strings.NewReplacer(
		"{env.DATABASE_URL}\n",
		"{env.DATABASE_URL} {\n\t\t\tlisten_dsn \""+through+"&application_name="+ListenerName+"\"\n\t\t}\n",
		"\t\ttrack_sale @sale\n", "\t\ttrack_sale @sale\n"+linksRoute,
		"\tlog\n", "", // no access log of 100,000 requests
	).Replace
	for i := range fleetSize {
		named := fmt.Sprintf("%s&application_name=edge-%d", dsn, i)
		settings := Settings{DatabaseURL: named, RedisURL: redisURL, Upstream: site.Upstream(), Edit: edit}
		f.Edges = append(f.Edges, launch(t, settings))
	}
	for _, e := range f.Edges { // all start concurrently
		e.waitReady(t)
		f.clients = append(f.clients, e.Client(t, "HTTP/2.0"))
	}
	return f
}

// KeyLimit is the rate limit of a single key. The zero value sets none.
type KeyLimit struct {
	Rate   int
	Period string // a Postgres interval
	Burst  int
}

// PerKey returns a KeyLimit of rate requests per period.
func PerKey(rate int, period string, burst int) KeyLimit { return KeyLimit{rate, period, burst} }

// Unlimited is a limit that no test reaches.
var Unlimited = KeyLimit{1_000_000, "1 minute", 1_000_000}

// Sell posts a sale to the edge with this index.
func (f *Fleet) Sell(t testing.TB, edge int, authorization string) Answer {
	t.Helper()
	return f.Edges[edge].SellAs(t, f.clients[edge], authorization)
}

// GetLinks sends GET /api/links to the edge with this index.
func (f *Fleet) GetLinks(t testing.TB, edge int, authorization string) Answer {
	t.Helper()
	return f.Edges[edge].Call(t, f.clients[edge], "GET", "/api/links", "", "Authorization", authorization)
}

// NewKey creates a key with all required scopes, unknown to the edges, and enables all workspaces.
func (f *Fleet) NewKey(limit KeyLimit) string {
	f.DB.T.Helper()
	f.keys++
	key := fmt.Sprint("hoko_fleet_key_", f.keys)
	hash := sha256.Sum256([]byte(key))
	f.DB.Exec("UPDATE hoko.workspaces SET disabled_at = NULL WHERE disabled_at IS NOT NULL")
	f.DB.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, key_hash, scopes, rate_limit, rate_period, rate_burst)
		VALUES ($1, 'ws_1', $2, '{conversionsWrite,linksRead}',
			nullif($3::int, 0), nullif($4, '')::interval, nullif($5::int, 0))`,
		KeyID(key), hash[:], limit.Rate, limit.Period, limit.Burst)
	return key
}

// UntilListening waits until all edges report their listeners as up (want) or down (!want).
func (f *Fleet) UntilListening(t testing.TB, want bool) {
	t.Helper()
	for i, e := range f.Edges {
		testenv.Until(t, fmt.Sprintf("edge %d is listening: %t", i, want), func() bool { return e.Listening(t, want) })
	}
}
