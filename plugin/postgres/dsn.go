package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const dsnForm = "it must be postgres://user:password@host:5432/database or key=value pairs, " +
	"and in the former a password's special characters must be percent-encoded"

var (
	// anyScheme matches the beginning of an address, such as jdbc:postgresql:// or Postgres://.
	anyScheme = regexp.MustCompile(`^[A-Za-z][\w+.:-]*://`)
	// innerDSN matches an address within a value, as in DATABASE_URL=postgres://….
	innerDSN = regexp.MustCompile(`(?i)postgres[a-z]*(\+\w+)?://`)
	// settingName matches the names of the server's settings. Those of extensions have a dot.
	settingName = regexp.MustCompile(`^([a-z][a-z0-9_]*|DateStyle|IntervalStyle|TimeZone|[A-Za-z_][\w$]*(\.[A-Za-z_][\w$]*)+)$`)
)

const (
	unneeded     = "the edge does not need it: remove it"
	ownPools     = "the edge sizes its pools itself: remove it, and set max_conns in the postgres block of the Caddyfile"
	ownPrepares  = "the edge prepares its statements itself: remove it"
	ownSchema    = "the edge's relations are always in the schema hoko: remove it"
	ownTimeouts  = "the edge bounds its own waits: remove it"
	useSSLMode   = "use sslmode=require, or sslmode=verify-full with sslrootcert"
	useSSLCert   = "use sslcert and sslkey"
	useAppName   = "use application_name"
	useTimeout   = "use connect_timeout, in seconds"
	useHost      = "use host"
	useEncoding  = "the edge sends UTF-8: remove it"
	useAttribute = "use target_session_attrs=read-write"
)

// foreignParameters are known to other tools but neither to pgx nor to the server, and what to do
// about each. The server would refuse every connection, and hostaddr would not even reach the right
// one.
var foreignParameters = map[string]string{
	// libpq
	"hostaddr": useHost, "requiressl": useSSLMode, "fallback_application_name": useAppName, "replication": unneeded,
	"gssencmode": unneeded, "gsslib": unneeded, "gssdelegation": unneeded, "requirepeer": unneeded, "load_balance_hosts": unneeded,
	"keepalives": ownTimeouts, "keepalives_idle": ownTimeouts, "keepalives_interval": ownTimeouts, "keepalives_count": ownTimeouts,
	"sslcompression": unneeded, "sslcrl": unneeded, "sslcrldir": unneeded, "ssl_min_protocol_version": unneeded, "ssl_max_protocol_version": unneeded,
	// Prisma
	"schema": ownSchema, "pgbouncer": ownPrepares, "connection_limit": ownPools, "socket_timeout": ownTimeouts,
	"sslaccept": useSSLMode, "sslidentity": useSSLCert, "statement_cache_size": ownPrepares,
	// JDBC
	"currentschema": ownSchema, "applicationname": useAppName, "logintimeout": useTimeout, "connecttimeout": useTimeout,
	"sockettimeout": ownTimeouts, "tcpkeepalive": ownTimeouts, "preparethreshold": ownPrepares, "targetservertype": useAttribute,
	"sslfactory": useSSLMode, "stringtype": unneeded, "rewritebatchedinserts": unneeded,
	// Python: asyncpg, SQLAlchemy, Django
	"prepared_statement_cache_size": ownPrepares, "command_timeout": ownTimeouts, "server_settings": unneeded,
	"conn_max_age": ownPools, "conn_health_checks": ownPools,
	// Node.js: pg, postgres.js, and what hosting adds for them
	"ssl": useSSLMode, "uselibpqcompat": unneeded, "max": ownPools, "idletimeoutmillis": ownPools, "connectiontimeoutmillis": useTimeout,
	"supa": unneeded, "workaround": unneeded,
	// Rails, Doctrine
	"pool": ownPools, "encoding": useEncoding, "prepared_statements": ownPrepares, "checkout_timeout": ownPools, "reaping_frequency": ownPools,
	"advisory_locks": unneeded, "charset": useEncoding, "serverversion": unneeded,
}

// checkDSN returns an error that names what is wrong with a connection string. It repeats nothing of
// it but the names of known parameters: in a malformed one, the end of the password is unknown. What
// pgx takes for key=value pairs but is none would connect to some other database.
func checkDSN(dsn string) error {
	if err := checkForm(dsn); err != nil {
		return err
	}
	config, err := parse(dsn)
	if err != nil {
		return err
	}
	if name := missingCache(config); name != "" {
		return fmt.Errorf("connection string has the parameter %s, which is 0: %s", name, ownPrepares)
	}
	for _, name := range slices.Sorted(maps.Keys(config.RuntimeParams)) {
		known := strings.ToLower(name)
		switch fix, foreign := foreignParameters[known]; {
		case foreign:
			return fmt.Errorf("connection string has the parameter %s: %s", name, fix)
		case !settingName.MatchString(name) || innerDSN.MatchString(config.RuntimeParams[name]):
			return errors.New("connection string has a parameter that is no setting of Postgres: " + dsnForm)
		}
	}
	return nil
}

// parse returns the configuration of a connection. Parameters of pgx's pools are accepted, as in
// other programs with pgx.
func parse(dsn string) (*pgx.ConnConfig, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, invalidDSN(err)
	}
	return config.ConnConfig, nil
}

// missingCache names the parameter that takes away the cache without which pgx runs no query; "" if
// there is none.
func missingCache(config *pgx.ConnConfig) string {
	switch mode := config.DefaultQueryExecMode; {
	case mode == pgx.QueryExecModeCacheStatement && config.StatementCacheCapacity <= 0:
		return "statement_cache_capacity"
	case mode == pgx.QueryExecModeCacheDescribe && config.DescriptionCacheCapacity <= 0:
		return "description_cache_capacity"
	}
	return ""
}

// checkForm returns an error if a connection string is neither an address that pgx knows as one nor
// looks like key=value pairs.
func checkForm(dsn string) error {
	trimmed := strings.TrimSpace(dsn)
	switch isURL := strings.HasPrefix(trimmed, "postgres://") || strings.HasPrefix(trimmed, "postgresql://"); {
	case strings.HasPrefix(trimmed, "\ufeff"):
		return errors.New("connection string begins with a byte order mark: remove it")
	case strings.HasPrefix(trimmed, `"`), strings.HasPrefix(trimmed, "'"), strings.HasPrefix(trimmed, "`"):
		return errors.New("connection string is in quotation marks: remove them")
	case isURL && trimmed != dsn:
		return errors.New("connection string begins or ends with a blank: remove it")
	case !isURL && anyScheme.MatchString(trimmed):
		return errors.New("connection string begins with a scheme that is neither postgres:// nor postgresql://, in lower case: " +
			"write one of these in its place")
	}
	return nil
}

// invalidDSN says why a connection string cannot be parsed, which may also be due to the files that
// it names. It repeats the names of these files and nothing else of it.
func invalidDSN(err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("connection string names a file: %w", file)
	}
	if cause := errors.Unwrap(err); cause != nil {
		text, cause := err.Error(), cause.Error()
		switch {
		case strings.HasSuffix(text, ": failed to configure TLS ("+cause+")"):
			return fmt.Errorf("connection string's sslmode, sslrootcert, sslcert or sslkey cannot be used: %s", cause)
		case strings.HasSuffix(text, ": failed to read service ("+cause+")"):
			return errors.New("connection string names a service: its file (PGSERVICEFILE) cannot be read or lacks it")
		}
	}
	return errors.New("connection string cannot be parsed: " + dsnForm)
}

// ConnectError adds to the error of a failed connection what neither the server nor pgx says: that
// there was no password to send, or what besides a standby refuses writes.
func ConnectError(err error) error {
	if errors.Is(err, pgconn.ErrReadOnlyConnection) {
		return fmt.Errorf("it is a standby, or default_transaction_read_only is on for the role or the database: %w", err)
	}
	failed, ok := errors.AsType[*pgconn.ConnectError](err)
	refusal, refused := errors.AsType[*pgconn.PgError](err)
	if ok && refused && refusal.Code == pgerrcode.InvalidPassword && failed.Config.Password == "" {
		return fmt.Errorf("no password: neither the connection string nor a passfile that can be read has one "+
			"for this host, port, database and user: %w", err)
	}
	return err
}
