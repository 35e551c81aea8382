package cli

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

func (r *report) postgres(ctx context.Context) (reachable bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before := time.Now()
	server, err := admin.AskServer(ctx, r.dsn)
	if err != nil {
		r.fail("postgres", err, addressFix)
		return false
	}
	r.clock("postgres", server.Clock, before)
	if server.Encoding != "UTF8" {
		r.warn("postgres", "the database's encoding is "+server.Encoding+": a sale with a character that it lacks is answered 500", "use a database in UTF8")
	}
	switch {
	case server.ReadOnly:
		r.fail("postgres", errors.New("it is read-only: a standby, perhaps"), "name the primary, or all hosts with target_session_attrs=read-write")
		return false
	case server.Major < 13 || server.Major > 18:
		r.warn("postgres", "version "+server.Version+" is not supported", "use Postgres 13 … 18")
	default:
		r.ok("postgres", "version %s", server.Version)
	}
	return true
}

func (r *report) schema(ctx context.Context) (usable bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	current, latest, err := postgres.MigrationStatus(ctx, r.dsn)
	switch {
	case err != nil:
		r.fail("schema", err, grantFix)
		return false
	case current == 0:
		r.fail("schema", errors.New("there is none"), "run caddy hoko migrate as the owner of the database")
		return false
	case current < latest:
		r.fail("schema", fmt.Errorf("version %d is older than this edge's %d", current, latest), "run caddy hoko migrate as the owner of the schema")
		return false
	case current > latest:
		r.warn("schema", fmt.Sprintf("version %d is newer than this edge's %d", current, latest), "upgrade the edge; it runs meanwhile")
	default:
		r.ok("schema", "version %d", current)
	}
	return true
}

// sales runs the statement that records sales with a sale that nothing attributes: Postgres checks
// permissions before anything else.
func (r *report) sales(ctx context.Context) {
	store, err := sales.NewStore(postgres.Options{DSN: r.dsn, SaleTimeout: patience})
	if err != nil {
		r.fail("sales", err, addressFix)
		return
	}
	defer store.Close(ctx)
	_, err = store.Record(ctx, &sale.Sale{
		ID:          uuid.Must(uuid.NewV7()),
		WorkspaceID: rand.Text(),
		Request:     &sale.Request{CustomerExternalID: "doctor", CustomerName: "doctor", Currency: "usd", EventName: "Purchase"},
	})
	if !errors.Is(err, sale.ErrUnattributed) {
		r.fail("sales", err, grantFix)
		return
	}
	switch err := sales.Rehearse(ctx, postgres.Options{DSN: r.dsn, SaleTimeout: patience}); {
	case errors.Is(err, sales.ErrNoClick):
		r.ok("sales", "the role may record them; none was rehearsed, as %v", err)
	case err != nil:
		r.fail("sales", err, "see docs/adopting.md for what triggers, views and constraints must let through")
	default:
		r.ok("sales", "the role may record them: some were rehearsed, and rolled back")
	}
}

func (r *report) keys(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	store, err := keys.NewStore(postgres.Options{DSN: r.dsn})
	if err != nil {
		r.fail("keys", err, addressFix)
		return
	}
	defer store.Close()
	var unknown apikey.Hash
	rand.Read(unknown[:])
	if _, err := store.Key(ctx, unknown); !errors.Is(err, apikey.ErrNotFound) {
		r.fail("keys", err, grantFix)
		return
	}
	r.ok("keys", "the role may look them up")
}

func (r *report) listener(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if r.listenDSN != "" {
		if _, err := admin.AskServer(ctx, r.listenDSN); err != nil {
			r.fail("listener", err, "check listen_dsn")
			return
		}
	}
	err := keys.CheckListener(ctx, postgres.Options{DSN: r.dsn, ListenDSN: r.listenDSN})
	switch {
	case errors.Is(err, keys.ErrUnheard):
		r.fail("listener", err, "set listen_dsn to Postgres itself, not a PgBouncer in transaction mode, and to the same database")
	case err != nil:
		r.fail("listener", fmt.Errorf("LISTEN does not work: %w", err), "check listen_dsn; the role needs pg_notify, on the primary")
	default:
		r.ok("listener", "changed keys are heard of")
	}
}

func (r *report) limits(ctx context.Context) {
	if r.redis == "" {
		r.fail("redis", errors.New("no address"), "set REDIS_URL, e.g. redis://host:6379/0, or give --redis-url")
		return
	}
	limiter, err := ratelimit.New(ratelimit.Options{URL: r.redis, Timeout: patience})
	if err != nil {
		r.fail("redis", err, "check REDIS_URL")
		return
	}
	defer limiter.Close()
	before := time.Now()
	server, err := limiter.Server(ctx)
	if err != nil {
		r.fail("redis", err, "check REDIS_URL, the network and the server's ACL")
		return
	}
	r.clock("redis", server.Clock, before)
	request := ratelimit.Request{Name: "doctor", Limit: limit.Limit{Rate: 1000, Period: time.Second, Burst: 1000}, OnError: ratelimit.Deny}
	rand.Read(request.Bucket[:])
	if _, err := limiter.Allow(ctx, request); err != nil {
		r.fail("redis", err, "the user needs EVALSHA, EVAL and the commands of the script on the keys rate:*; memory and replicas must admit writes")
		return
	}
	r.ok("redis", "%s %s decides limits", server.Name, server.Version)
}
