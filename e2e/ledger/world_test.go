package ledger

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/relay"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

const (
	edgeCount    = 3
	edgeRole     = "hoko_edge" // no superuser, so that a full connection table is full for it
	edgePassword = "sold"
)

// world is all that the clients of a ledger rely on, and that its faults break.
type world struct {
	t       *testing.T
	pair    *testenv.Pair
	redis   *testenv.OwnRedis
	control *redis.Client // of that Redis, past all relays
	edges   []*edge
	clients *clients
}

// edge is an edge with relays of its own before both Postgres servers and Redis.
type edge struct {
	*harness.Edge
	name            string
	postgres        []*relay.Relay
	redis           *relay.Relay
	clients         map[string]*http.Client // by protocol
	inFlight        atomic.Int64            // sales on their way through it
	otherDSN, other bool                    // what its Caddyfile says at present
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, pair: testenv.Replicated(t), redis: testenv.RedisServer(t)}
	w.control = harness.RedisClient(t, w.redis.URL())
	w.seed()
	for i := range edgeCount {
		w.edges = append(w.edges, w.startEdge(fmt.Sprint("edge ", i)))
	}
	return w
}

func (w *world) seed() {
	w.t.Helper()
	server := w.connect("postgres")
	server.Exec("CREATE DATABASE hoko")
	server.Exec(fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", edgeRole, edgePassword))
	if err := postgres.Migrate(w.t.Context(), w.pair.Primary().DSN("hoko"), nil); err != nil {
		w.t.Fatal(err)
	}
	d := w.connect("hoko")
	d.Exec(harness.ReadRoot(w.t, "docs/role.sql"))
	d.Exec("ALTER TABLE hoko.sales ADD FOREIGN KEY (link_id) REFERENCES hoko.links") // as a site may do
	w.commitsTake(0)
	d.Exec("CREATE CONSTRAINT TRIGGER commit_slowly AFTER INSERT ON hoko.sales DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.commit_slowly()")
	for _, tenant := range tenants {
		tenant.seed(w.t, d)
	}
	d.Conn.Close(w.t.Context())
	server.Conn.Close(w.t.Context())
}

// connect is a connection of a superuser to the primary, past all proxies.
func (w *world) connect(database string) harness.DB {
	w.t.Helper()
	return harness.Connect(w.t, w.pair.Primary().DSN(database))
}

// onPrimary runs one statement on the primary.
func (w *world) onPrimary(sql string, args ...any) {
	w.t.Helper()
	d := w.connect("hoko")
	defer d.Conn.Close(context.Background())
	d.Exec(sql, args...)
}

// edgeDSN is the DSN of an edge's role past all proxies, for connections that do as an edge's
// would.
func (w *world) edgeDSN() string {
	u, err := url.Parse(w.pair.Primary().DSN("hoko"))
	if err != nil {
		w.t.Fatal(err)
	}
	u.User = url.User(edgeRole)
	return u.String()
}

func (w *world) startEdge(name string) *edge {
	w.t.Helper()
	e := &edge{name: name, clients: map[string]*http.Client{}, redis: startRelay(w.t, w.control.Options().Addr)}
	for _, node := range []*testenv.Node{w.pair.Primary(), w.pair.Standby()} {
		e.postgres = append(e.postgres, startRelay(w.t, node.Address))
	}
	e.Edge = harness.Start(w.t, harness.Settings{DatabaseURL: e.dsn(), RedisURL: "redis://" + e.redis.Address(), Upstream: "127.0.0.1:1", Edit: e.settings})
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		c := e.Client(w.t, protocol)
		c.Timeout = 0 // each attempt has its own
		c.Transport.(*http.Transport).MaxIdleConnsPerHost = clientCount + crowd
		e.clients[protocol] = c
	}
	return e
}

func startRelay(t testing.TB, server string) *relay.Relay {
	t.Helper()
	r, err := relay.Start(fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t)), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// dsn names both servers, in one order or the other.
func (e *edge) dsn() string {
	hosts := []string{e.postgres[0].Address(), e.postgres[1].Address()}
	if e.otherDSN {
		hosts[0], hosts[1] = hosts[1], hosts[0]
	}
	return fmt.Sprintf("postgres://%s:%s@%s/hoko?sslmode=disable&target_session_attrs=read-write&connect_timeout=2", edgeRole, edgePassword, strings.Join(hosts, ","))
}

// settings makes the shipped Caddyfile quicker to give up, so that many faults fit into a run, and
// its queue so short that a crowd fills it; the limit of Redis's time is the shipped one.
func (e *edge) settings(config string) string {
	ttl := "60s"
	if e.other {
		ttl = "61s"
	}
	return strings.NewReplacer(
		"grace_period 20s", "grace_period 6s",
		"postgres {env.DATABASE_URL}", "postgres "+e.dsn(),
		" {\n\t\t\ttimeout 10s\n\t\t}\n", "\n\t\tsales {\n\t\t\ttimeout 3s\n\t\t\tbatch 8\n\t\t\tqueue 32\n\t\t}\n",
		"ttl 60s", "ttl "+ttl,
		"\tlog\n", "", // each request in memory: too much for an hour
		"limit 600/1m", "limit 1000000/1m",
		"\t\ttrack_sale @sale\n", "\t\ttrack_sale @sale {\n\t\t\tbody_timeout 1s\n\t\t}\n",
	).Replace(config)
}

// until polls until a condition holds.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	testenv.Until(w.t, what, holds)
}
