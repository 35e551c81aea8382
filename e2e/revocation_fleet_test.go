package e2e

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

// fleet is three edges that share a database and a Redis, with two routes behind
// keys: sales, and calls of the site below /api/links.
type fleet struct {
	edges   []*edge
	clients []*http.Client // one for each edge, for lone calls
	db      db
	relay   *relay // between the edges' listeners and Postgres
	keys    int    // made so far
}

const fleetSize = 3

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

func startFleet(t testing.TB, redisURL string) *fleet {
	t.Helper()
	dsn := testenv.Database(t)
	site := startSite(t, map[string]http.HandlerFunc{"/api/links": func(http.ResponseWriter, *http.Request) {}})
	f := &fleet{db: seed(t, dsn), relay: startRelay(t, dsn)}
	edit := strings.NewReplacer(
		"postgres {env.DATABASE_URL}\n", "postgres {env.DATABASE_URL} {\n\t\t\tlisten_dsn \""+f.relay.dsn+"\"\n\t\t}\n",
		"\t\ttrack_sale @sale\n", "\t\ttrack_sale @sale\n"+linksRoute,
		"\tlog\n", "", // of a hundred thousand requests
	).Replace
	for i := range fleetSize {
		named := fmt.Sprintf("%s&application_name=edge-%d", dsn, i)
		e := start(t, settings{databaseURL: named, redisURL: redisURL, upstream: site.upstream(), edit: edit})
		f.edges, f.clients = append(f.edges, e), append(f.clients, e.client(t, "HTTP/2.0"))
	}
	return f
}

// keyLimit is a limit of a key's own; the zero one is none.
type keyLimit struct {
	rate   int
	period string // as Postgres writes an interval
	burst  int
}

var unlimited = keyLimit{1_000_000, "1 minute", 1_000_000}

// sell and look call the two routes of an edge alone.
func (f *fleet) sell(t testing.TB, edge int, authorization string) answer {
	t.Helper()
	return f.edges[edge].call(t, f.clients[edge], "POST", "/api/track/sale", validSale, "Authorization", authorization)
}

func (f *fleet) look(t testing.TB, edge int, authorization string) answer {
	t.Helper()
	return f.edges[edge].call(t, f.clients[edge], "GET", "/api/links", "", "Authorization", authorization)
}

// newKey makes a key that no edge has seen, with all that the routes ask for, in a workspace that is not disabled.
func (f *fleet) newKey(limit keyLimit) string {
	f.db.t.Helper()
	f.keys++
	key := fmt.Sprint("hoko_fleet_key_", f.keys)
	hash := sha256.Sum256([]byte(key))
	f.db.exec("UPDATE hoko.workspaces SET disabled_at = NULL WHERE disabled_at IS NOT NULL")
	f.db.exec(`INSERT INTO hoko.api_keys (id, workspace_id, key_hash, scopes, rate_limit, rate_period, rate_burst)
		VALUES ($1, 'ws_1', $2, '{conversionsWrite,linksRead}', nullif($3::int, 0), nullif($4, '')::interval, nullif($5::int, 0))`,
		keyID(key), hash[:], limit.rate, limit.period, limit.burst)
	return key
}

// untilListening waits until each edge hears of revocations, or knows that it does not.
func (f *fleet) untilListening(t testing.TB, want bool) {
	t.Helper()
	for i, e := range f.edges {
		poll(t, fmt.Sprintf("edge %d is listening: %t", i, want), func() bool {
			return strings.Contains(string(e.adminGet(t, "/hoko/")), fmt.Sprintf(`"listening":%t`, want))
		})
	}
}

// poll asks until it is so.
func poll(t testing.TB, what string, so func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for guard := time.Now().Add(hangGuard); !so(); <-again.C {
		if time.Now().After(guard) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
