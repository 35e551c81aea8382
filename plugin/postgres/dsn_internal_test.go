package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// With these strings, pgx would connect to another database, or fail later.
func TestDSN_InvalidIsRejected(t *testing.T) {
	t.Setenv("PGSERVICEFILE", "/no/such/service.conf")
	const bom, url = "\ufeff", "postgres://hoko:s3cret@host/db"
	for dsn, want := range map[string]string{
		`"postgres://hoko:s3cret@host/db?sslmode=disable"`: "is in quotation marks",
		`'postgres://hoko:s3cret@host/db?sslmode=disable'`: "is in quotation marks",
		` "host=host password=s3cret"`:                     "is in quotation marks",
		" postgres://hoko:s3cret@host/db?sslmode=disable":  "begins or ends with white space",
		url + " ":                              "begins or ends with white space",
		"postgresql://hoko:s3cret@host/db\r\n": "begins or ends with white space",
		bom + "postgres://hoko:s3cret@host/db?sslmode=disable":                "byte order mark",
		bom + "host=host password=s3cret":                                     "byte order mark",
		"jdbc:postgresql://host/db?user=hoko&password=s3cret":                 "unknown scheme",
		"postgresql+asyncpg://hoko:s3cret@host/db?ssl=require":                "unknown scheme",
		"Postgres://hoko:s3cret@host/db?sslmode=disable":                      "unknown scheme",
		"mysql://hoko:s3cret@host/db":                                         "unknown scheme",
		"DATABASE_URL=postgres://hoko:s3cret@host/db":                         "not a setting of Postgres",
		"database_url=postgres://hoko:s3cret@host/db":                         "not a setting of Postgres",
		"url=jdbc:postgresql://hoko:s3cret@host/db":                           "not a setting of Postgres",
		"host=host my-s3cret=x":                                               "not a setting of Postgres",
		url + "?statement_cache_capacity=0":                                   "statement_cache_capacity to 0",
		url + "?statement_cache_capacity=s3cret":                              "cannot be parsed",
		url + "?default_query_exec_mode=s3cret":                               "cannot be parsed",
		url + "?pool_max_conns=s3cret":                                        "cannot be parsed",
		"default_query_exec_mode=cache_describe description_cache_capacity=0": "description_cache_capacity to 0",
		url + "?schema=public":                                                "schema: remove it",
		url + "?pgbouncer=true":                                               "pgbouncer: ",
		url + "?connection_limit=5":                                           "connection_limit: remove it",
		url + "?sslaccept=strict":                                             "sslaccept: use sslmode=require",
		url + "?currentSchema=public":                                         "currentSchema: ",
		url + "?ssl=false":                                                    "ssl: use sslmode",
		url + "?gssencmode=disable":                                           "gssencmode: remove it",
		"hostaddr=10.0.0.1 password=s3cret":                                   "hostaddr: use host",
		"service=none password=s3cret":                                        "names a service, but",
		url + "?sslcert=/s3.crt":                                              "are required",
		url + "?sslmode=s3cret":                                               "sslmode is invalid",
		url + "?sslrootcert=dsn_internal_test.go":                             "unable to add CA",
		url + "?sslrootcert=/no/such/ca.pem":                                  "cannot be read: open /no/such/ca.pem",
		"postgres://hoko:s3cret@host:port/db":                                 "cannot be parsed",
		"postgres://hoko:s3/cret@host/db":                                     "cannot be parsed",
		"postgres://hoko:s3%cret@host/db":                                     "cannot be parsed",
		"postgres://hoko:@s3cret@host:x/db":                                   "cannot be parsed",
		"host=host password=s3cret port=x":                                    "cannot be parsed",
		"host=host password = 's3cret":                                        "cannot be parsed",
		"password:s3cret":                                                     "cannot be parsed",
		url + "?connect_timeout=x":                                            "cannot be parsed",
	} {
		_, err := NewConnector(dsn, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", dsn, err, want)
			continue
		}
		if text := err.Error(); strings.Contains(text, "s3") || strings.Contains(text, "cret") {
			t.Errorf("%q: quoted in %q", dsn, text)
		}
	}
}

func TestDSN_ValidIsAccepted(t *testing.T) {
	for _, dsn := range []string{
		"postgres://hoko:p%20w@host/db", "postgresql:///db?host=/run/postgresql", "postgres://host/db?ssl=true",
		" host=host\tdbname=db password='postgres' ", "host=host password='\"'", "postgres://host/db?passfile=/no/file",
		"postgres://one:1,two:2/db?target_session_attrs=read-write", "host=host my.setting=x idle_session_timeout=0",
		"postgres://host/db?options=endpoint%3Dmain&channel_binding=prefer&application_name=https://example.com",
		"postgres://host/db?DateStyle=ISO&TimeZone=UTC&search_path=a",
	} {
		if _, err := NewConnector(dsn, nil); err != nil {
			t.Errorf("%q: %v", dsn, err)
		}
	}
}

func TestConnector_Config(t *testing.T) {
	t.Setenv("PGCONNECT_TIMEOUT", "")
	parse := func(dsn string) *pgx.ConnConfig {
		t.Helper()
		c, err := NewConnector(dsn, map[string]string{"jit": "off"})
		if err != nil {
			t.Fatal(err)
		}
		config, err := c.config()
		if err != nil {
			t.Fatal(err)
		}
		return config
	}
	for dsn, want := range map[string]struct {
		timeout   time.Duration
		name, jit string
	}{
		"postgres://host/db": {connectTimeout, "hoko-edge", "off"},
		"postgres://host/db?connect_timeout=7&application_name=mine&jit=on": {7 * time.Second, "mine", "on"},
	} {
		c := parse(dsn)
		if c.ConnectTimeout != want.timeout || c.ValidateConnect != nil ||
			c.RuntimeParams["application_name"] != want.name || c.RuntimeParams["jit"] != want.jit {
			t.Errorf("%s: %+v", dsn, c)
		}
	}
	for _, dsn := range []string{"postgres://one,two/db", "postgres://one:1,one:2/db"} {
		if parse(dsn).ValidateConnect == nil {
			t.Errorf("%s: accepts a standby", dsn)
		}
	}
}
