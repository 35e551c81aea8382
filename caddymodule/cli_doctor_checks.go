package caddymodule

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/postgres/keys"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/ratelimit"
	"hoko.to/edge/plugin/sale"
)

const (
	grantFix   = "run caddy hoko migrate, then docs/role.sql, as the owner of the schema"
	addressFix = "check DATABASE_URL, the network, and pg_hba.conf on the server"
)

func (e *examination) postgres(ctx context.Context) (reachable bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before := time.Now()
	server, err := admin.AskServer(ctx, e.dsn)
	if err != nil {
		e.fail("postgres", err, addressFix)
		return false
	}
	e.clock("postgres", server.Clock, before)
	if server.Encoding != "UTF8" {
		e.warn("postgres", "the database's encoding is "+server.Encoding+": a sale with a character that it lacks is answered 500", "use a database in UTF8")
	}
	switch {
	case server.ReadOnly:
		e.fail("postgres", errors.New("it is read-only: a standby, perhaps"), "name the primary, or all hosts with target_session_attrs=read-write")
		return false
	case server.Major < 13 || server.Major > 18:
		e.warn("postgres", "version "+server.Version+" is not supported", "use Postgres 13 … 18")
	default:
		e.ok("postgres", "version %s", server.Version)
	}
	return true
}

func (e *examination) schema(ctx context.Context) (usable bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	current, latest, err := postgres.MigrationStatus(ctx, e.dsn)
	switch {
	case err != nil:
		e.fail("schema", err, grantFix)
		return false
	case current == 0:
		e.fail("schema", errors.New("there is none"), "run caddy hoko migrate as the owner of the database")
		return false
	case current < latest:
		e.fail("schema", fmt.Errorf("version %d is older than this edge's %d", current, latest), "run caddy hoko migrate as the owner of the schema")
		return false
	case current > latest:
		e.warn("schema", fmt.Sprintf("version %d is newer than this edge's %d", current, latest), "upgrade the edge; it runs meanwhile")
	default:
		e.ok("schema", "version %d", current)
	}
	return true
}

// sales asks for the very statement that records sales, with a sale that
// nothing attributes: rights are checked before anything else.
func (e *examination) sales(ctx context.Context) {
	store, err := sales.NewStore(postgres.Options{DSN: e.dsn, SaleTimeout: patience})
	if err != nil {
		e.fail("sales", err, addressFix)
		return
	}
	defer store.Close(ctx)
	_, err = store.Record(ctx, &sale.Sale{
		ID:          uuid.Must(uuid.NewV7()),
		WorkspaceID: rand.Text(),
		Request:     &sale.Request{CustomerExternalID: "doctor", CustomerName: "doctor", Currency: "usd", EventName: "Purchase"},
	})
	if !errors.Is(err, sale.ErrUnattributed) {
		e.fail("sales", err, grantFix)
		return
	}
	e.ok("sales", "the role may record them")
}

func (e *examination) keys(ctx context.Context) {
	store, err := keys.NewStore(postgres.Options{DSN: e.dsn})
	if err != nil {
		e.fail("keys", err, addressFix)
		return
	}
	defer store.Close()
	var unknown apikey.Hash
	rand.Read(unknown[:])
	if _, err := store.Key(ctx, unknown); !errors.Is(err, apikey.ErrNotFound) {
		e.fail("keys", err, grantFix)
		return
	}
	e.ok("keys", "the role may look them up")
}

func (e *examination) listener(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if e.listenDSN != "" {
		if _, err := admin.AskServer(ctx, e.listenDSN); err != nil {
			e.fail("listener", err, "check listen_dsn")
			return
		}
	}
	err := keys.CheckListener(ctx, postgres.Options{DSN: e.dsn, ListenDSN: e.listenDSN})
	switch {
	case errors.Is(err, keys.ErrUnheard):
		e.fail("listener", err, "set listen_dsn to Postgres itself, not a PgBouncer in transaction mode, and to the same database")
	case err != nil:
		e.fail("listener", fmt.Errorf("LISTEN does not work: %w", err), "check listen_dsn; the role needs pg_notify, on the primary")
	default:
		e.ok("listener", "changed keys are heard of")
	}
}

func (e *examination) limits(ctx context.Context) {
	if e.redis == "" {
		e.fail("redis", errors.New("no address"), "set REDIS_URL, e.g. redis://host:6379/0, or give --redis-url")
		return
	}
	limiter, err := ratelimit.New(ratelimit.Options{URL: e.redis, Timeout: patience})
	if err != nil {
		e.fail("redis", err, "check REDIS_URL")
		return
	}
	defer limiter.Close()
	before := time.Now()
	server, err := limiter.Server(ctx)
	if err != nil {
		e.fail("redis", err, "check REDIS_URL, the network and the server's ACL")
		return
	}
	e.clock("redis", server.Clock, before)
	request := ratelimit.Request{Name: "doctor", Limit: limit.Limit{Rate: 1000, Period: time.Second, Burst: 1000}, OnError: ratelimit.Deny}
	rand.Read(request.Bucket[:])
	if _, err := limiter.Allow(ctx, request); err != nil {
		e.fail("redis", err, "the user needs EVALSHA, EVAL and the commands of the script on the keys rate:*; memory and replicas must admit writes")
		return
	}
	e.ok("redis", "%s %s decides limits", server.Name, server.Version)
}
