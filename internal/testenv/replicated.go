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

// Pair is a Postgres and its synchronous standby, a test's own: a commit is
// answered when both have it on disk. Their addresses never change, whichever of
// the two is the primary. Fail over, as often as you like, with
//
//	pair.Primary().Kill() // or Stop
//	pair.Promote(t)       // the standby is the primary now, alone
//	pair.Rejoin(t)        // the other one is its standby, with a fresh copy
//
// Both listen on sockets and, with a password, on loopback ports, so that a
// proxy may stand before them. One goroutine at a time breaks and mends a Pair.
type Pair struct {
	primary, standby *Node
	hosts, ports     string // of both sockets
	addresses        string // of both ports
	password         string
}

// Node is one of a Pair: stop it, kill it, and start it again as what it was.
type Node struct {
	*OwnPostgres
	// Address is its host:port on loopback.
	Address string
}

// standbyName is what a standby calls itself, and synchronous_standby_names names.
const standbyName = "standby"

// Replicated starts a Pair, without the schema, in some three seconds.
func Replicated(t testing.TB) *Pair {
	t.Helper()
	p := &Pair{primary: newNode(t), standby: newNode(t), password: rand.Text()}
	p.primary.Start(t)
	p.exec(t, fmt.Sprintf("ALTER ROLE postgres PASSWORD '%s'", p.password))
	p.follow(t)
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
		"wal_keep_size":               "256MB", // a standby that was away for a moment finds what it missed
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

// Primary is the server that takes writes.
func (p *Pair) Primary() *Node { return p.primary }

// Standby is the other one; after Promote, and until Rejoin, what is left of the primary before.
func (p *Pair) Standby() *Node { return p.standby }

// DSN names both servers' sockets, and asks for the one that takes writes.
func (p *Pair) DSN(database string) string {
	return fmt.Sprintf("postgres://postgres@/%s?host=%s&port=%s&sslmode=disable&target_session_attrs=read-write", database, p.hosts, p.ports)
}

// DSNAt is DSN over TCP: at these addresses (host:port, for instance of proxies
// before the two Nodes), else at the servers' own.
func (p *Pair) DSNAt(database string, addresses ...string) string {
	at := cmp.Or(strings.Join(addresses, ","), p.addresses)
	return fmt.Sprintf("postgres://postgres:%s@%s/%s?sslmode=disable&target_session_attrs=read-write", p.password, at, database)
}

// Promote makes the standby the primary, which then waits for no standby. The
// primary before is left as it is: one that still runs goes on by itself, as
// after a failover without fencing.
func (p *Pair) Promote(t testing.TB) {
	t.Helper()
	p.primary, p.standby = p.standby, p.primary
	p.exec(t, "SELECT pg_promote(true, 60)")
	p.until(t, "it is promoted", "SELECT NOT pg_is_in_recovery()")
}

// Rejoin gives the primary a standby again, in the other server's place and with
// a fresh copy of the data, and returns when commits wait for it.
func (p *Pair) Rejoin(t testing.TB) {
	t.Helper()
	p.standby.Kill()
	if err := os.RemoveAll(p.standby.options.Dir); err != nil {
		t.Fatal(err)
	}
	p.follow(t)
}

// AwaitStandby returns when commits wait for the standby, and it keeps up: after
// one of the two was started again.
func (p *Pair) AwaitStandby(t testing.TB) {
	t.Helper()
	p.until(t, "the standby is in sync", "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming')")
}

// Waiting is how many sessions of the primary have committed and wait for the standby.
func (p *Pair) Waiting(t testing.TB) (sessions int) {
	t.Helper()
	p.ask(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", &sessions)
	return sessions
}

// follow starts the standby on a copy of the primary, and has commits wait for it.
func (p *Pair) follow(t testing.TB) {
	t.Helper()
	p.standby.options.StandbyOf = p.primary.Postgres
	p.standby.Start(t)
	p.on(t, p.standby, "ALTER SYSTEM RESET synchronous_standby_names") // copied: once promoted it must not wait for itself
	p.exec(t, fmt.Sprintf("ALTER SYSTEM SET synchronous_standby_names = '%s'", standbyName))
	p.exec(t, "SELECT pg_reload_conf()")
	p.AwaitStandby(t)
	p.exec(t, "CHECKPOINT") // it is the checkpointer that tells all sessions to wait for the standby
}

func (p *Pair) exec(t testing.TB, sql string) { t.Helper(); p.on(t, p.primary, sql) }

func (p *Pair) on(t testing.TB, n *Node, sql string) {
	t.Helper()
	ctx, cancel := guarded()
	defer cancel()
	if err := execute(ctx, n.Postgres, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (p *Pair) ask(t testing.TB, sql string, value any) {
	t.Helper()
	if err := p.query(sql, value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (p *Pair) query(sql string, value any) error {
	ctx, cancel := guarded()
	defer cancel()
	conn, err := pgx.Connect(ctx, p.primary.DSN("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.QueryRow(ctx, sql).Scan(value)
}

// until asks the primary, which may not be there yet, until it says yes.
func (p *Pair) until(t testing.TB, what, sql string) {
	t.Helper()
	Until(t, what, func() (yes bool) { return p.query(sql, &yes) == nil && yes })
}
