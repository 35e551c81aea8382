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

// Fleet is three edges that share a database and a Redis, with two routes behind
// keys: sales, and calls of the site below /api/links.
type Fleet struct {
	Edges   []*Edge
	clients []*http.Client // one for each edge, for lone calls
	DB      DB
	DSN     string
	Relay   *relay.Relay // between the edges' listeners and Postgres
	keys    int          // made so far
}

const fleetSize = 3

// ListenerName is what the edges' listeners call themselves to Postgres.
const ListenerName = "a-listener"

// linksRoute is what a fleet's Caddyfile has more than the shipped one.
const linksRoute = `
		@links path /api/links
		api_key_auth @links {
			scopes linksRead
		}
		redis_rate_limit @links {
			limit 600/1m
		}
`

// StartFleet starts a fleet on a seeded database of its own.
func StartFleet(t testing.TB, redisURL string) *Fleet {
	t.Helper()
	dsn := testenv.Database(t)
	site := StartSite(t, map[string]http.HandlerFunc{"/api/links": func(http.ResponseWriter, *http.Request) {}})
	between, through := testenv.Relay(t, dsn)
	if err := between.Open(); err != nil {
		t.Fatal(err)
	}
	f := &Fleet{DB: Seed(t, dsn), DSN: dsn, Relay: between}
	edit := strings.NewReplacer(
		"postgres {env.DATABASE_URL}\n", "postgres {env.DATABASE_URL} {\n\t\t\tlisten_dsn \""+through+"&application_name="+ListenerName+"\"\n\t\t}\n",
		"\t\ttrack_sale @sale\n", "\t\ttrack_sale @sale\n"+linksRoute,
		"\tlog\n", "", // of a hundred thousand requests
	).Replace
	for i := range fleetSize {
		named := fmt.Sprintf("%s&application_name=edge-%d", dsn, i)
		f.Edges = append(f.Edges, launch(t, Settings{DatabaseURL: named, RedisURL: redisURL, Upstream: site.Upstream(), Edit: edit}))
	}
	for _, e := range f.Edges { // they start side by side
		e.waitReady(t)
		f.clients = append(f.clients, e.Client(t, "HTTP/2.0"))
	}
	return f
}

// KeyLimit is a limit of a key's own; the zero one is none.
type KeyLimit struct {
	Rate   int
	Period string // as Postgres writes an interval
	Burst  int
}

// PerKey is a KeyLimit of so many requests a period.
func PerKey(rate int, period string, burst int) KeyLimit { return KeyLimit{rate, period, burst} }

// Unlimited is a limit that no test reaches.
var Unlimited = KeyLimit{1_000_000, "1 minute", 1_000_000}

// Sell posts a sale to one of the edges.
func (f *Fleet) Sell(t testing.TB, edge int, authorization string) Answer {
	t.Helper()
	return f.Edges[edge].Call(t, f.clients[edge], "POST", "/api/track/sale", ValidSale, "Authorization", authorization)
}

// Look calls the other route of one of the edges.
func (f *Fleet) Look(t testing.TB, edge int, authorization string) Answer {
	t.Helper()
	return f.Edges[edge].Call(t, f.clients[edge], "GET", "/api/links", "", "Authorization", authorization)
}

// NewKey makes a key that no edge has seen, with all that the routes ask for, in a workspace that is not disabled.
func (f *Fleet) NewKey(limit KeyLimit) string {
	f.DB.T.Helper()
	f.keys++
	key := fmt.Sprint("hoko_fleet_key_", f.keys)
	hash := sha256.Sum256([]byte(key))
	f.DB.Exec("UPDATE hoko.workspaces SET disabled_at = NULL WHERE disabled_at IS NOT NULL")
	f.DB.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, key_hash, scopes, rate_limit, rate_period, rate_burst)
		VALUES ($1, 'ws_1', $2, '{conversionsWrite,linksRead}', nullif($3::int, 0), nullif($4, '')::interval, nullif($5::int, 0))`,
		KeyID(key), hash[:], limit.Rate, limit.Period, limit.Burst)
	return key
}

// UntilListening waits until each edge hears of revocations, or knows that it does not.
func (f *Fleet) UntilListening(t testing.TB, want bool) {
	t.Helper()
	for i, e := range f.Edges {
		testenv.Until(t, fmt.Sprintf("edge %d is listening: %t", i, want), func() bool { return e.Listening(t, want) })
	}
}
