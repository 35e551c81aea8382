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

const dsnForm = "it must be postgres://user:password@host:5432/database or key=value pairs; " +
	"in the former, special characters of the password must be percent-encoded"

var (
	// anyScheme matches the beginning of a URL, such as jdbc:postgresql:// or Postgres://.
	anyScheme = regexp.MustCompile(`^[A-Za-z][\w+.:-]*://`)
	// innerDSN matches a URL within a value, as in DATABASE_URL=postgres://….
	innerDSN = regexp.MustCompile(`(?i)postgres[a-z]*(\+\w+)?://`)
	// settingName matches the names of server settings. Names of extension settings contain a dot.
	settingName = regexp.MustCompile(
		`^([a-z][a-z0-9_]*|DateStyle|IntervalStyle|TimeZone|[A-Za-z_][\w$]*(\.[A-Za-z_][\w$]*)+)$`)
)

const (
	unneeded     = "remove it; the edge does not need it"
	ownPools     = "remove it; the edge sizes its pools by max_conns in the postgres block of the Caddyfile"
	ownPrepares  = "remove it; the edge prepares its statements itself"
	ownSchema    = "remove it; the edge's relations are always in the schema hoko"
	ownTimeouts  = "remove it; the edge has its own timeouts"
	useSSLMode   = "use sslmode=require, or sslmode=verify-full with sslrootcert"
	useSSLCert   = "use sslcert and sslkey"
	useAppName   = "use application_name"
	useTimeout   = "use connect_timeout, in seconds"
	useHost      = "use host"
	useEncoding  = "remove it; the edge sends UTF-8"
	useReadWrite = "use target_session_attrs=read-write"
)

// foreignParameters are parameters of other clients that neither pgx nor the server knows, with the
// fix for each. The server would refuse connections, or with hostaddr, pgx would connect elsewhere.
var foreignParameters = map[string]string{
	// libpq
	"hostaddr": useHost, "requiressl": useSSLMode, "fallback_application_name": useAppName, "replication": unneeded,
	"gssencmode": unneeded, "gsslib": unneeded, "gssdelegation": unneeded, "requirepeer": unneeded,
	"keepalives": ownTimeouts, "keepalives_idle": ownTimeouts, "keepalives_interval": ownTimeouts,
	"keepalives_count": ownTimeouts, "load_balance_hosts": unneeded, "sslcompression": unneeded, "sslcrl": unneeded,
	"sslcrldir": unneeded, "ssl_min_protocol_version": unneeded, "ssl_max_protocol_version": unneeded,
	// Prisma
	"schema": ownSchema, "pgbouncer": ownPrepares, "connection_limit": ownPools, "socket_timeout": ownTimeouts,
	"sslaccept": useSSLMode, "sslidentity": useSSLCert, "statement_cache_size": ownPrepares,
	// JDBC
	"currentschema": ownSchema, "applicationname": useAppName, "logintimeout": useTimeout,
	"connecttimeout": useTimeout, "sockettimeout": ownTimeouts, "tcpkeepalive": ownTimeouts,
	"preparethreshold": ownPrepares, "targetservertype": useReadWrite, "sslfactory": useSSLMode,
	"stringtype": unneeded, "rewritebatchedinserts": unneeded,
	// Python: asyncpg, SQLAlchemy, Django
	"prepared_statement_cache_size": ownPrepares, "command_timeout": ownTimeouts, "server_settings": unneeded,
	"conn_max_age": ownPools, "conn_health_checks": ownPools,
	// Node.js: pg, postgres.js, and parameters that hosting providers add for them
	"ssl": useSSLMode, "uselibpqcompat": unneeded, "max": ownPools, "idletimeoutmillis": ownPools,
	"connectiontimeoutmillis": useTimeout, "supa": unneeded, "workaround": unneeded,
	// Rails, Doctrine
	"pool": ownPools, "encoding": useEncoding, "prepared_statements": ownPrepares, "checkout_timeout": ownPools,
	"reaping_frequency": ownPools, "advisory_locks": unneeded, "charset": useEncoding, "serverversion": unneeded,
}

// checkDSN returns an error that says what is wrong with a connection string. Without it, pgx might
// connect to another database. The error quotes only names of known parameters: if the string is
// malformed, anything else may be part of the password.
func checkDSN(dsn string) error {
	if err := checkForm(dsn); err != nil {
		return err
	}
	config, err := parse(dsn)
	if err != nil {
		return err
	}
	if name := disabledCache(config); name != "" {
		return fmt.Errorf("connection string sets %s to 0: %s", name, ownPrepares)
	}
	for _, name := range slices.Sorted(maps.Keys(config.RuntimeParams)) {
		fix, foreign := foreignParameters[strings.ToLower(name)]
		switch {
		case foreign:
			return fmt.Errorf("connection string has the parameter %s: %s", name, fix)
		case !settingName.MatchString(name) || innerDSN.MatchString(config.RuntimeParams[name]):
			return errors.New("connection string has a parameter that is not a setting of Postgres: " + dsnForm)
		}
	}
	return nil
}

// parse returns the configuration of a connection. Like other programs that use pgx, it accepts
// parameters of pgxpool, such as pool_max_conns.
func parse(dsn string) (*pgx.ConnConfig, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, invalidDSN(err)
	}
	return config.ConnConfig, nil
}

// disabledCache returns the name of the parameter that disables the cache which pgx needs in the
// configured exec mode, or "".
func disabledCache(config *pgx.ConnConfig) string {
	switch mode := config.DefaultQueryExecMode; {
	case mode == pgx.QueryExecModeCacheStatement && config.StatementCacheCapacity <= 0:
		return "statement_cache_capacity"
	case mode == pgx.QueryExecModeCacheDescribe && config.DescriptionCacheCapacity <= 0:
		return "description_cache_capacity"
	}
	return ""
}

// checkForm returns an error if dsn is neither a URL for pgx nor looks like key=value pairs.
func checkForm(dsn string) error {
	trimmed := strings.TrimSpace(dsn)
	switch isURL := strings.HasPrefix(trimmed, "postgres://") || strings.HasPrefix(trimmed, "postgresql://"); {
	case strings.HasPrefix(trimmed, "\ufeff"):
		return errors.New("connection string begins with a byte order mark: remove it")
	case strings.HasPrefix(trimmed, `"`), strings.HasPrefix(trimmed, "'"), strings.HasPrefix(trimmed, "`"):
		return errors.New("connection string is in quotation marks: remove them")
	case isURL && trimmed != dsn:
		return errors.New("connection string begins or ends with white space: remove it")
	case !isURL && anyScheme.MatchString(trimmed):
		return errors.New("connection string has an unknown scheme: use postgres:// or postgresql://, in lower case")
	}
	return nil
}

// invalidDSN replaces an error of pgx, which may contain the password. Its result quotes nothing of
// the connection string but names of files.
func invalidDSN(err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("connection string names a file that cannot be read: %w", file)
	}
	if cause := errors.Unwrap(err); cause != nil {
		text, cause := err.Error(), cause.Error()
		switch {
		case strings.HasSuffix(text, ": failed to configure TLS ("+cause+")"):
			return fmt.Errorf("connection string's sslmode, sslrootcert, sslcert or sslkey cannot be used: %s", cause)
		case strings.HasSuffix(text, ": failed to read service ("+cause+")"):
			return errors.New("connection string names a service, " +
				"but its file (PGSERVICEFILE) cannot be read or lacks it")
		}
	}
	return errors.New("connection string cannot be parsed: " + dsnForm)
}

// ConnectError explains two errors of failed connection attempts: a missing password, and a server
// that rejects writes. It returns other errors unchanged.
func ConnectError(err error) error {
	if errors.Is(err, pgconn.ErrReadOnlyConnection) {
		return fmt.Errorf("the server is a standby, or default_transaction_read_only is on (role or database): %w", err)
	}
	failed, ok := errors.AsType[*pgconn.ConnectError](err)
	pgErr, answered := errors.AsType[*pgconn.PgError](err)
	if ok && answered && pgErr.Code == pgerrcode.InvalidPassword && failed.Config.Password == "" {
		return fmt.Errorf("no password: neither the connection string nor a passfile that can be read has one "+
			"for this host, port, database and user: %w", err)
	}
	return err
}
