package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/google/uuid"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/inspect"
	"hoko.to/edge/plugin/postgres/keys"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

const (
	grantFix   = "run caddy hoko migrate, then docs/role.sql, as the owner of the schema"
	migrateFix = "run caddy hoko migrate as the owner of the schema"
	addressFix = "check DATABASE_URL, the network, and pg_hba.conf on the server"
	adoptFix   = "see docs/adopting.md for what triggers, views, columns and constraints must accept"
)

// checks runs the checks in order and adds their findings to the Report.
type checks struct {
	Options
	Report
}

func (c *checks) run(ctx context.Context) {
	var http *caddyhttp.App
	var tls *caddytls.TLS
	if c.Config != nil {
		http, tls = c.configuration()
	}
	c.fileDescriptors()
	c.servers(ctx)
	if c.Config == nil || c.Config.Apps == nil {
		return
	}
	c.trustedProxies(http)
	c.certificates(http, tls)
	c.site(ctx)
}

// servers checks Postgres and Redis.
func (c *checks) servers(ctx context.Context) {
	if c.DSN == "" {
		c.fail("postgres", errors.New("no address"),
			"set DATABASE_URL, e.g. postgres://user:password@host:5432/database, or give --database-url")
	} else if usable := c.database(ctx); usable || c.ListenDSN != "" {
		c.listener(ctx)
	}
	c.redis(ctx)
}

// database runs the checks of Postgres and reports whether it is reachable and writable.
func (c *checks) database(ctx context.Context) (usable bool) {
	c.inspect(ctx, "postgres", addressFix, func(ctx context.Context, db *inspect.Database) (err error) {
		usable, err = c.server(ctx, db)
		return err
	})
	if !usable {
		return false
	}
	c.inspect(ctx, "durability", addressFix, c.durability)
	c.inspect(ctx, "connections", addressFix, c.connections)
	if !c.schema(ctx) {
		return true
	}
	c.sales(ctx)
	c.keys(ctx)
	before := c.Failures
	c.inspect(ctx, "row-security", grantFix, c.rowSecurity)
	rowsVisible := c.Failures == before // hidden rows make a table look empty and its plans meaningless
	if rowsVisible {
		c.inspect(ctx, "attribution", grantFix, c.attribution)
	}
	notified := c.probe(ctx)
	c.inspect(ctx, "triggers", grantFix,
		func(ctx context.Context, db *inspect.Database) error { return c.triggers(ctx, db, notified) })
	if rowsVisible {
		c.indexes(ctx)
	}
	return true
}

// inspect runs a check over a separate connection, because a query that times out closes it. If the
// check returns an error, inspect reports it as a failure with this fix.
func (c *checks) inspect(ctx context.Context, about, fix string, check func(context.Context, *inspect.Database) error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	db, err := inspect.Open(ctx, c.DSN)
	if err == nil {
		defer db.Close()
		err = check(ctx, db)
	}
	if err != nil {
		c.fail(about, err, fix)
	}
}

// server reports whether the server is usable, that is, not read-only.
func (c *checks) server(ctx context.Context, db *inspect.Database) (usable bool, err error) {
	const about = "postgres"
	before := time.Now()
	server, err := db.Server(ctx)
	if err != nil {
		return false, err
	}
	c.compareClocks(about, "", server.Clock, before)
	if server.Encoding != "UTF8" {
		c.warn(about, "the database's encoding is "+server.Encoding+": sales with characters that it lacks are 500",
			"use a database in UTF8")
	}
	switch {
	case server.ReadOnly:
		c.fail(about, errors.New("the server is read-only and may be a standby"),
			"connect to the primary, or list all hosts with target_session_attrs=read-write")
		return false, nil
	case server.Major < 13 || server.Major > 18:
		c.warn(about, "version "+server.Version+" is not supported", "use Postgres 13 to 18")
	default:
		c.ok(about, "version %s", server.Version)
	}
	return true, nil
}

// durability checks whether recorded sales survive a crash and a failover. The sales check covers
// synchronous_commit, which sale sessions set.
func (c *checks) durability(ctx context.Context, db *inspect.Database) error {
	const about = "durability"
	found, err := db.Durability(ctx)
	if err != nil {
		return err
	}
	if !found.Fsync {
		c.warn(about, "fsync is off: a crash of the machine can lose recorded sales, or the whole database",
			"set fsync = on")
	}
	switch {
	case found.Synchronous:
		if err := db.Commit(ctx); err != nil {
			c.fail(about, fmt.Errorf("a commit that waits for the standbys does not return: %w", err),
				"start the standbys in synchronous_standby_names, or list others there")
			return nil
		}
		c.ok(about, "commits wait for standbys")
	case found.Standbys > 0:
		c.warn(about, "a standby is connected, but commits do not wait for it: a failover can lose recent sales",
			"set synchronous_standby_names")
	default:
		c.ok(about, "no standby is connected: see docs/operations.md on surviving the loss of a primary")
	}
	return nil
}

func (c *checks) schema(ctx context.Context) (usable bool) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	current, latest, err := postgres.MigrationStatus(ctx, c.DSN)
	switch {
	case err != nil:
		c.fail("schema", err, grantFix)
		return false
	case current == 0:
		c.fail("schema", errors.New("the schema hoko does not exist"),
			"run caddy hoko migrate as the owner of the database")
		return false
	case current < postgres.RequiredVersion:
		c.fail("schema", fmt.Errorf("version %d is older than this edge's %d", current, latest), migrateFix)
		return false
	case current < latest:
		c.warn("schema", fmt.Sprintf("version %d is older than this edge's %d; sales and keys work", current, latest),
			migrateFix)
	case current > latest:
		c.warn("schema", fmt.Sprintf("version %d is newer than this edge's %d", current, latest),
			"upgrade the edge; until then it works")
	default:
		c.ok("schema", "version %d", current)
		c.inspect(ctx, "clean-up", grantFix, c.cleanUp)
		c.inspect(ctx, "key-usage", grantFix, c.rights)
	}
	return true
}

// sales first sends a sale that nothing attributes: Postgres checks permissions and writes nothing.
// Then it records test sales that a click attributes, and rolls them back.
func (c *checks) sales(ctx context.Context) {
	const about = "sales"
	logged := new(warnings)
	defer logged.report(&c.Report, about)
	options := postgres.Options{DSN: c.DSN, SaleTimeout: checkTimeout, Logger: slog.New(logged)}
	store, err := sales.NewStore(options)
	if err != nil {
		c.fail(about, err, addressFix)
		return
	}
	defer store.Close(ctx)
	_, err = store.Record(ctx, &sale.Sale{
		ID:          uuid.Must(uuid.NewV7()),
		WorkspaceID: rand.Text(),
		Request: &sale.Request{CustomerExternalID: "doctor", CustomerName: "doctor", Currency: "usd",
			EventName: "Purchase"},
	})
	if !errors.Is(err, sale.ErrUnattributed) {
		c.fail(about, err, grantFix)
		return
	}
	switch err := sales.Rehearse(ctx, options); {
	case errors.Is(err, sales.ErrNoClick):
		c.ok(about, "the role can record them; no test sale was recorded, because %v", err)
	case errors.Is(err, sales.ErrColumnTooSmall):
		c.warn(about, err.Error(), adoptFix)
	case err != nil:
		c.fail(about, err, adoptFix)
	default:
		c.ok(about, "the role can record them: test sales were recorded and rolled back")
	}
}

func (c *checks) keys(ctx context.Context) {
	const about = "keys"
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	logged := new(warnings)
	defer logged.report(&c.Report, about)
	sample, err := keys.Check(ctx, postgres.Options{DSN: c.DSN, Logger: slog.New(logged)})
	if err != nil {
		fix := grantFix
		if errors.Is(err, keys.ErrUnreadable) {
			fix = "cast the column in the view, as docs/adopting.md does"
		}
		c.fail(about, err, fix)
		return
	}
	if sample.Malformed > 0 {
		c.fail(about, fmt.Errorf("%d of %d keys have a key_hash that is not 32 bytes long: requests with them are 401",
			sample.Malformed, sample.Keys),
			"key_hash must be the SHA-256 of the whole key as bytea; if yours is in hex, use decode(digest, 'hex')")
	}
	if sample.Missing > 0 {
		c.fail(about, fmt.Errorf("%d of %d keys cannot be looked up: requests with them are 401", sample.Missing,
			sample.Keys),
			"the edge's role must be able to read the workspace of each key in hoko.workspaces")
	}
	if sample.Malformed+sample.Missing == 0 {
		c.ok(about, "the role can look them up")
	}
}

func (c *checks) listener(ctx context.Context) {
	const about = "listener"
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if c.ListenDSN != "" {
		db, err := inspect.Open(ctx, c.ListenDSN)
		if err != nil {
			c.fail(about, err, "check listen_dsn")
			return
		}
		db.Close()
	}
	err := keys.CheckListener(ctx, postgres.Options{DSN: c.DSN, ListenDSN: c.ListenDSN})
	switch {
	case errors.Is(err, keys.ErrHeartbeatLost):
		c.fail(about, err,
			"set listen_dsn to Postgres itself, not a PgBouncer in transaction mode, and to the same database")
	case err != nil:
		c.fail(about, fmt.Errorf("LISTEN does not work: %w", err),
			"check listen_dsn; the role needs pg_notify, and the server must be the primary")
	default:
		c.ok(about, "notifications of changed keys arrive")
	}
}
