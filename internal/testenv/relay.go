package testenv

import (
	"fmt"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/internal/relay"
)

// Relay returns a relay for the server of a database, and a DSN that leads through it. The caller
// opens the relay; it is closed when the test ends.
func Relay(t testing.TB, dsn string) (r *relay.Relay, through string) {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	socket := fmt.Sprintf(".s.PGSQL.%d", config.Port)
	dir := ShortDir(t)
	r = relay.New(filepath.Join(dir, socket), filepath.Join(config.Host, socket))
	t.Cleanup(r.Close)
	query := url.Values{"host": {dir}, "port": {fmt.Sprint(config.Port)}, "sslmode": {"disable"}}
	address := url.URL{
		Scheme: "postgres", User: url.User(config.User), Path: "/" + config.Database, RawQuery: query.Encode(),
	}
	return r, address.String()
}
