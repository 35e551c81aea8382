package ledger

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/relay"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

const (
	ledgerEdges    = 3
	ledgerRole     = "hoko_edge" // no superuser, so that a full connection table is full for it
	ledgerPassword = "sold"
)

// ledgerWorld is all that the clients of a ledger rely on, and that its faults break.
type ledgerWorld struct {
	t       *testing.T
	pair    *testenv.Pair
	redis   *ledgerRedis
	edges   []*ledgerEdge
	clients *ledgerClients
}

// ledgerEdge is an edge with relays of its own before both Postgres servers and Redis.
type ledgerEdge struct {
	*harness.Edge
	name            string
	postgres        []*relay.Relay
	redis           *relay.Relay
	clients         map[string]*http.Client // by protocol
	inFlight        atomic.Int64            // sales on their way through it
	otherDSN, other bool                    // what its Caddyfile says at present
}

func newLedgerWorld(t *testing.T) *ledgerWorld {
	t.Helper()
	w := &ledgerWorld{t: t, pair: testenv.Replicated(t), redis: startLedgerRedis(t)}
	w.awaitSynchronous()
	w.seed()
	for i := range ledgerEdges {
		w.edges = append(w.edges, w.startEdge(fmt.Sprint("edge ", i)))
	}
	return w
}

func (w *ledgerWorld) seed() {
	w.t.Helper()
	server := w.connect("postgres")
	server.Exec("CREATE DATABASE hoko")
	server.Exec(fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", ledgerRole, ledgerPassword))
	if err := postgres.Migrate(w.t.Context(), w.pair.Primary().DSN("hoko"), nil); err != nil {
		w.t.Fatal(err)
	}
	d := w.connect("hoko")
	d.Exec(harness.ReadRoot(w.t, "docs/role.sql"))
	for _, tenant := range ledgerTenants {
		tenant.seed(w.t, d)
	}
	d.Conn.Close(w.t.Context())
	server.Conn.Close(w.t.Context())
}

// connect is a connection of a superuser to the primary, past all proxies.
func (w *ledgerWorld) connect(database string) harness.DB {
	w.t.Helper()
	return harness.Connect(w.t, w.pair.Primary().DSN(database))
}

// onPrimary runs one statement on the primary.
func (w *ledgerWorld) onPrimary(sql string, args ...any) {
	w.t.Helper()
	d := w.connect("hoko")
	defer d.Conn.Close(context.Background())
	d.Exec(sql, args...)
}

// edgeDSN is the DSN of an edge's role past all proxies, for connections that do as an edge's would.
func (w *ledgerWorld) edgeDSN() string {
	u, err := url.Parse(w.pair.Primary().DSN("hoko"))
	if err != nil {
		w.t.Fatal(err)
	}
	u.User = url.User(ledgerRole)
	return u.String()
}

func (w *ledgerWorld) startEdge(name string) *ledgerEdge {
	w.t.Helper()
	e := &ledgerEdge{name: name, clients: map[string]*http.Client{}, redis: startRelay(w.t, w.redis.address)}
	for _, node := range []*testenv.Node{w.pair.Primary(), w.pair.Standby()} {
		e.postgres = append(e.postgres, startRelay(w.t, node.Address))
	}
	e.Edge = harness.Start(w.t, harness.Settings{DatabaseURL: e.dsn(), RedisURL: "redis://" + e.redis.Address(), Upstream: "127.0.0.1:1", Edit: e.settings})
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		c := e.Client(w.t, protocol)
		c.Timeout = 0 // each attempt has its own
		c.Transport.(*http.Transport).MaxIdleConnsPerHost = ledgerClientCount
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
func (e *ledgerEdge) dsn() string {
	hosts := []string{e.postgres[0].Address(), e.postgres[1].Address()}
	if e.otherDSN {
		hosts[0], hosts[1] = hosts[1], hosts[0]
	}
	return fmt.Sprintf("postgres://%s:%s@%s/hoko?sslmode=disable&target_session_attrs=read-write&connect_timeout=2", ledgerRole, ledgerPassword, strings.Join(hosts, ","))
}

// settings makes the shipped Caddyfile quicker to give up, so that many faults fit into a run; the limit of Redis's time is the shipped one.
func (e *ledgerEdge) settings(config string) string {
	ttl := "60s"
	if e.other {
		ttl = "61s"
	}
	return strings.NewReplacer(
		"grace_period 20s", "grace_period 6s",
		"postgres {env.DATABASE_URL}", "postgres "+e.dsn(),
		" {\n\t\t\ttimeout 10s\n\t\t}\n", "\n\t\tsales {\n\t\t\ttimeout 3s\n\t\t}\n",
		"ttl 60s", "ttl "+ttl,
		"\tlog\n", "", // each request in memory: too much for an hour
		"limit 600/1m", "limit 1000000/1m",
		"\t\ttrack_sale @sale\n", "\t\ttrack_sale @sale {\n\t\t\tbody_timeout 1s\n\t\t}\n",
	).Replace(config)
}

// awaitPrimary returns when the primary takes connections again, and its standby follows.
func (w *ledgerWorld) awaitPrimary() {
	w.t.Helper()
	w.until("the standby is in sync", func() (inSync bool) {
		conn, err := pgx.Connect(w.t.Context(), w.pair.Primary().DSN("postgres"))
		if err != nil {
			return false
		}
		defer conn.Close(w.t.Context())
		err = conn.QueryRow(w.t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming')").Scan(&inSync)
		return err == nil && inSync
	})
}

// awaitSynchronous returns when every commit waits for the standby. That the
// standby is in sync does not mean it yet: it is the checkpointer that tells all
// sessions of new settings, and it has read them when it begins a checkpoint.
func (w *ledgerWorld) awaitSynchronous() {
	w.t.Helper()
	d := w.connect("postgres")
	defer d.Conn.Close(context.Background())
	d.Exec("CHECKPOINT")
}

// until polls; the guard is for a run that would hang.
func (w *ledgerWorld) until(what string, holds func() bool) {
	w.t.Helper()
	for guard := time.Now().Add(harness.HangGuard); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(guard) {
			w.t.Fatalf("it does not happen that %s", what)
		}
	}
}
