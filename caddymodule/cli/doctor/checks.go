package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/inspect"
	"hoko.to/edge/plugin/postgres/keys"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

const (
	grantFix   = "run caddy hoko migrate, then docs/role.sql, as the owner of the schema"
	addressFix = "check DATABASE_URL, the network, and pg_hba.conf on the server"
	adoptFix   = "see docs/adopting.md for what triggers, views, columns and constraints must let through"
)

// checks runs the checks, each after those that it relies on.
type checks struct {
	Options
	Report
}

func (c *checks) run(ctx context.Context) {
	if c.DSN == "" {
		c.fail("postgres", errors.New("no address"),
			"set DATABASE_URL, e.g. postgres://user:password@host:5432/database, or give --database-url")
	} else if usable := c.database(ctx); usable || c.ListenDSN != "" {
		c.listener(ctx)
	}
	c.redis(ctx, c.RedisURL, c.RedisPrefix)
}

// database runs the checks of Postgres, if it can be reached.
func (c *checks) database(ctx context.Context) (usable bool) {
	c.inspect(ctx, "postgres", addressFix, func(ctx context.Context, db *inspect.Database) (err error) {
		usable, err = c.server(ctx, db)
		return err
	})
	if !usable {
		return false
	}
	c.inspect(ctx, "durability", addressFix, c.durability)
	if !c.schema(ctx) {
		return true
	}
	c.sales(ctx)
	c.keys(ctx)
	before := c.Failures
	c.inspect(ctx, "row-security", grantFix, c.rowSecurity)
	sighted := c.Failures == before // a table whose rows are hidden looks empty, and its plans prove nothing
	if sighted {
		c.inspect(ctx, "attribution", grantFix, c.attribution)
	}
	heard := c.probe(ctx)
	c.inspect(ctx, "triggers", grantFix,
		func(ctx context.Context, db *inspect.Database) error { return c.triggers(ctx, db, heard) })
	if sighted {
		c.indexes(ctx)
	}
	return true
}

// inspect runs a check over a connection of its own, which a question that takes too long ends. An
// error is a failure with this fix.
func (c *checks) inspect(ctx context.Context, about, fix string, check func(context.Context, *inspect.Database) error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
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

// server reports whether the server can be used.
func (c *checks) server(ctx context.Context, db *inspect.Database) (usable bool, err error) {
	const about = "postgres"
	before := time.Now()
	server, err := db.Server(ctx)
	if err != nil {
		return false, err
	}
	c.clock(about, server.Clock, before)
	if server.Encoding != "UTF8" {
		c.warn(about, "the database's encoding is "+server.Encoding+": a sale with a character that it lacks is answered 500", "use a database in UTF8")
	}
	switch {
	case server.ReadOnly:
		c.fail(about, errors.New("it is read-only: a standby, perhaps"),
			"name the primary, or all hosts with target_session_attrs=read-write")
		return false, nil
	case server.Major < 13 || server.Major > 18:
		c.warn(about, "version "+server.Version+" is not supported", "use Postgres 13 … 18")
	default:
		c.ok(about, "version %s", server.Version)
	}
	return true, nil
}

// durability says what a sale that was answered survives. The setting synchronous_commit is the
// sale sessions' own, so sales warns of it.
func (c *checks) durability(ctx context.Context, db *inspect.Database) error {
	const about = "durability"
	found, err := db.Durability(ctx)
	if err != nil {
		return err
	}
	if !found.Fsync {
		c.warn(about, "fsync is off: a crash of the machine can lose sales that were answered, or the whole database",
			"set fsync = on")
	}
	switch {
	case found.Synchronous:
		if err := db.Commit(ctx); err != nil {
			c.fail(about, fmt.Errorf("a commit that waits for the standbys does not end: %w", err),
				"start the standbys that synchronous_standby_names names, or name others")
			return nil
		}
		c.ok(about, "commits wait for standbys")
	case found.Standbys > 0:
		c.warn(about, "a standby is connected, and commits do not wait for it: a failover can lose the last sales that were answered",
			"set synchronous_standby_names")
	default:
		c.ok(about, "no standby is connected: see docs/operations.md on surviving the loss of a primary")
	}
	return nil
}

func (c *checks) schema(ctx context.Context) (usable bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	current, latest, err := postgres.MigrationStatus(ctx, c.DSN)
	switch {
	case err != nil:
		c.fail("schema", err, grantFix)
		return false
	case current == 0:
		c.fail("schema", errors.New("there is none"), "run caddy hoko migrate as the owner of the database")
		return false
	case current < latest:
		c.fail("schema", fmt.Errorf("version %d is older than this edge's %d", current, latest),
			"run caddy hoko migrate as the owner of the schema")
		return false
	case current > latest:
		c.warn("schema", fmt.Sprintf("version %d is newer than this edge's %d", current, latest),
			"upgrade the edge; it runs meanwhile")
	default:
		c.ok("schema", "version %d", current)
	}
	return true
}

// sales runs the statement that records sales with a sale that nothing attributes, as Postgres
// checks permissions before anything else, and rehearses some that something does.
func (c *checks) sales(ctx context.Context) {
	const about = "sales"
	logged := newWarnings()
	defer logged.report(&c.Report, about)
	options := postgres.Options{DSN: c.DSN, SaleTimeout: patience, Logger: slog.New(logged)}
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
		c.ok(about, "the role may record them; none was rehearsed, as %v", err)
	case errors.Is(err, sales.ErrColumnTooSmall):
		c.warn(about, err.Error(), adoptFix)
	case err != nil:
		c.fail(about, err, adoptFix)
	default:
		c.ok(about, "the role may record them: some were rehearsed, and rolled back")
	}
}

func (c *checks) keys(ctx context.Context) {
	const about = "keys"
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	logged := newWarnings()
	defer logged.report(&c.Report, about)
	sample, err := keys.Check(ctx, postgres.Options{DSN: c.DSN, Logger: slog.New(logged)})
	if err != nil {
		fix := grantFix
		if errors.Is(err, keys.ErrUnreadable) {
			fix = "let the view cast it, as docs/adopting.md does"
		}
		c.fail(about, err, fix)
		return
	}
	if sample.Malformed > 0 {
		c.fail(about, fmt.Errorf("of %d keys, %d have a key_hash that is not 32 bytes long: requests with them are 401",
			sample.Keys, sample.Malformed),
			"key_hash must be the SHA-256 of the whole key as bytea, e.g. decode(digest, 'hex') of one in hex")
	}
	if sample.Lost > 0 {
		c.fail(about, fmt.Errorf("of %d keys, %d cannot be looked up: requests with them are 401", sample.Keys,
			sample.Lost),
			"hoko.workspaces must show the edge's role the workspace of each key")
	}
	if sample.Malformed+sample.Lost == 0 {
		c.ok(about, "the role may look them up")
	}
}

func (c *checks) listener(ctx context.Context) {
	const about = "listener"
	ctx, cancel := context.WithTimeout(ctx, patience)
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
	case errors.Is(err, keys.ErrUnheard):
		c.fail(about, err, "set listen_dsn to Postgres itself, not a PgBouncer in transaction mode, and to the same database")
	case err != nil:
		c.fail(about, fmt.Errorf("LISTEN does not work: %w", err),
			"check listen_dsn; the role needs pg_notify, on the primary")
	default:
		c.ok(about, "changed keys are heard of")
	}
}
