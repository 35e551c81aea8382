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
	edgeRole     = "hoko_edge" // not a superuser, who could use reserved connections
	edgePassword = "sold"
)

type world struct {
	t       *testing.T
	pair    *testenv.Pair
	redis   *testenv.OwnRedis
	control *redis.Client // connects to redis directly, not through a relay
	edges   []*edge
	clients *clients
}

// edge is an edge with its own relays to both Postgres servers and Redis.
type edge struct {
	*harness.Edge
	name            string
	postgres        []*relay.Relay
	redis           *relay.Relay
	clients         map[string]*http.Client // by protocol
	inFlight        atomic.Int64            // sales
	otherDSN, other bool                    // current state of its Caddyfile
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
	testenv.NoError(w.t, postgres.Migrate(w.t.Context(), w.pair.Primary().DSN("hoko"), nil))
	d := w.connect("hoko")
	d.Exec(harness.ReadRoot(w.t, "docs/role.sql"))
	d.Exec("ALTER TABLE hoko.sales ADD FOREIGN KEY (link_id) REFERENCES hoko.links") // as a site may add
	w.commitsTake(0)
	d.Exec(`CREATE CONSTRAINT TRIGGER commit_slowly AFTER INSERT ON hoko.sales DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION public.commit_slowly()`)
	for _, workspace := range workspaces {
		workspace.seed(w.t, d)
	}
	d.Conn.Close(w.t.Context())
	server.Conn.Close(w.t.Context())
}

// connect opens a direct superuser connection to the primary.
func (w *world) connect(database string) harness.DB {
	w.t.Helper()
	return harness.Connect(w.t, w.pair.Primary().DSN(database))
}

func (w *world) onPrimary(sql string, args ...any) {
	w.t.Helper()
	d := w.connect("hoko")
	defer d.Conn.Close(context.Background())
	d.Exec(sql, args...)
}

// edgeDSN returns a DSN of the edges' role that leads directly to the primary.
func (w *world) edgeDSN() string {
	u, err := url.Parse(w.pair.Primary().DSN("hoko"))
	testenv.NoError(w.t, err)
	u.User = url.User(edgeRole)
	return u.String()
}

func (w *world) startEdge(name string) *edge {
	w.t.Helper()
	e := &edge{name: name, clients: map[string]*http.Client{}, redis: startRelay(w.t, w.control.Options().Addr)}
	for _, node := range []*testenv.Node{w.pair.Primary(), w.pair.Standby()} {
		e.postgres = append(e.postgres, startRelay(w.t, node.Address))
	}
	e.Edge = harness.Start(w.t, harness.Settings{DatabaseURL: e.dsn(), RedisURL: "redis://" + e.redis.Address(),
		Upstream: "127.0.0.1:1", Edit: e.settings})
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		c := e.Client(w.t, protocol)
		c.Timeout = 0 // each attempt has its own timeout
		c.Transport.(*http.Transport).MaxIdleConnsPerHost = clientCount + crowd
		e.clients[protocol] = c
	}
	return e
}

func startRelay(t testing.TB, server string) *relay.Relay {
	t.Helper()
	r, err := relay.Start(fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t)), server)
	testenv.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// dsn returns a DSN with both servers, in the order that otherDSN selects.
func (e *edge) dsn() string {
	hosts := []string{e.postgres[0].Address(), e.postgres[1].Address()}
	if e.otherDSN {
		hosts[0], hosts[1] = hosts[1], hosts[0]
	}
	return fmt.Sprintf("postgres://%s:%s@%s/hoko?sslmode=disable&target_session_attrs=read-write&connect_timeout=2",
		edgeRole, edgePassword, strings.Join(hosts, ","))
}

// settings changes the Caddyfile so that the edge gives up sooner, which lets many faults fit into
// a run, and so that a crowd fills its queue. The Redis timeout is the shipped one.
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
		"\tlog\n", "", // an hour of access log would not fit into memory
		"limit 600/1m", "limit 1000000/1m",
		"\t\ttrack_sale @sale\n", "\t\ttrack_sale @sale {\n\t\t\tbody_timeout 1s\n\t\t}\n",
	).Replace(config)
}

func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	testenv.Until(w.t, what, holds)
}
