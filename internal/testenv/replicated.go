package testenv

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Pair is a Postgres and its synchronous standby: a commit returns when both have it on disk. Their
// addresses stay the same, whichever of the two is the primary. You can fail over repeatedly:
//
//	pair.Primary().Kill() // or Stop
//	pair.Promote(t)       // the standby becomes the primary, alone
//	pair.Rejoin(t)        // the other server becomes its standby, with a new copy
//
// Both listen on sockets and, with a password, on loopback ports for tests with proxies. A Pair is
// not safe for concurrent use.
type Pair struct {
	primary, standby *Node
	hosts, ports     string // of both sockets
	addresses        string // of both ports
	password         string
}

// Node is a server of a Pair. A test may stop or kill it and start it again in the same role.
type Node struct {
	*OwnPostgres
	// Address is the server's host:port on loopback.
	Address string
}

// standbyName is the name of a standby in synchronous_standby_names.
const standbyName = "standby"

// Replicated starts a Pair without the schema and stops it when the test ends. That takes about
// three seconds.
func Replicated(t testing.TB) *Pair {
	t.Helper()
	p := &Pair{primary: newNode(t), standby: newNode(t), password: rand.Text()}
	p.primary.Start(t)
	p.exec(t, fmt.Sprintf("ALTER ROLE postgres PASSWORD '%s'", p.password))
	p.startStandby(t)
	p.addresses = p.primary.Address + "," + p.standby.Address
	one, two := socketOf(t, p.primary), socketOf(t, p.standby)
	p.hosts, p.ports = one.Get("host")+","+two.Get("host"), one.Get("port")+","+two.Get("port")
	return p
}

func socketOf(t testing.TB, n *Node) url.Values {
	t.Helper()
	u, err := url.Parse(n.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func newNode(t testing.TB) *Node {
	t.Helper()
	port := strconv.Itoa(FreePort(t))
	options := postgresOptions(serverDir(t))
	options.Fsync = true
	for name, value := range map[string]string{
		"listen_addresses":            "127.0.0.1",
		"port":                        port,
		"cluster_name":                standbyName,
		"wal_keep_size":               "256MB", // lets a restarted standby catch up
		"wal_retrieve_retry_interval": "100ms",
	} {
		options.Settings[name] = value
	}
	n := &Node{&OwnPostgres{options: options}, "127.0.0.1:" + port}
	t.Cleanup(func() {
		if n.Postgres != nil {
			n.Kill()
		}
	})
	return n
}

// Primary returns the server that accepts writes.
func (p *Pair) Primary() *Node { return p.primary }

// Standby returns the other server, which is the previous primary between Promote and Rejoin.
func (p *Pair) Standby() *Node { return p.standby }

// DSN returns the DSN of a database with both servers' sockets; it connects to the primary.
func (p *Pair) DSN(database string) string {
	return fmt.Sprintf("postgres://postgres@/%s?host=%s&port=%s&sslmode=disable&target_session_attrs=read-write",
		database, p.hosts, p.ports)
}

// DSNAt returns a DSN like DSN, over TCP: at these addresses (host:port, for example of proxies),
// or at the servers' own if there are none.
func (p *Pair) DSNAt(database string, addresses ...string) string {
	at := cmp.Or(strings.Join(addresses, ","), p.addresses)
	return fmt.Sprintf("postgres://postgres:%s@%s/%s?sslmode=disable&target_session_attrs=read-write",
		p.password, at, database)
}

// Promote makes the standby the primary, which then waits for no standby. It does not touch the
// previous primary, which keeps running by itself if it is up, as after a failover without fencing.
func (p *Pair) Promote(t testing.TB) {
	t.Helper()
	p.primary, p.standby = p.standby, p.primary
	p.exec(t, "SELECT pg_promote(true, 60)")
	p.until(t, "the standby is promoted", "SELECT NOT pg_is_in_recovery()")
}

// Rejoin replaces the other server with a standby that has a new copy of the data, and returns when
// commits wait for it.
func (p *Pair) Rejoin(t testing.TB) {
	t.Helper()
	p.standby.Kill()
	if err := os.RemoveAll(p.standby.options.Dir); err != nil {
		t.Fatal(err)
	}
	p.startStandby(t)
}

// AwaitStandby waits until the standby is in sync and commits wait for it. Call it after a restart
// of one of the two.
func (p *Pair) AwaitStandby(t testing.TB) {
	t.Helper()
	p.until(t, "the standby is in sync",
		"SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming')")
}

// Waiting returns the number of the primary's sessions whose commits wait for the standby.
func (p *Pair) Waiting(t testing.TB) (sessions int) {
	t.Helper()
	if err := p.query("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", &sessions); err != nil {
		t.Fatal(err)
	}
	return sessions
}

// startStandby starts the standby with a copy of the primary's data and makes commits wait for it.
func (p *Pair) startStandby(t testing.TB) {
	t.Helper()
	p.standby.options.StandbyOf = p.primary.Postgres
	p.standby.Start(t)
	// Copied from the primary; after a promotion the server must not wait for itself.
	p.execOn(t, p.standby, "ALTER SYSTEM RESET synchronous_standby_names")
	p.exec(t, fmt.Sprintf("ALTER SYSTEM SET synchronous_standby_names = '%s'", standbyName))
	p.exec(t, "SELECT pg_reload_conf()")
	p.AwaitStandby(t)
	p.exec(t, "CHECKPOINT") // the checkpointer makes all sessions wait for the standby
}

func (p *Pair) exec(t testing.TB, sql string) { t.Helper(); p.execOn(t, p.primary, sql) }

func (p *Pair) execOn(t testing.TB, n *Node, sql string) {
	t.Helper()
	ctx, cancel := stepContext()
	defer cancel()
	if err := execute(ctx, n.Postgres, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (p *Pair) query(sql string, value any) error {
	ctx, cancel := stepContext()
	defer cancel()
	conn, err := pgx.Connect(ctx, p.primary.DSN("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.QueryRow(ctx, sql).Scan(value)
}

// until polls the primary, which may not be up yet, until the query returns true.
func (p *Pair) until(t testing.TB, what, sql string) {
	t.Helper()
	Until(t, what, func() (ok bool) { return p.query(sql, &ok) == nil && ok })
}
