package inspect_test

import (
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/inspect"
)

func open(t *testing.T, dsn string) *inspect.Database {
	t.Helper()
	d, err := inspect.Open(testenv.Guarded(t), dsn)
	testenv.NoError(t, err)
	t.Cleanup(d.Close)
	return d
}

func TestServer_VersionAndClock(t *testing.T) {
	dsn, ctx := testenv.EmptyDatabase(t), testenv.Guarded(t)
	before := time.Now()
	server, err := open(t, dsn).Server(ctx)
	testenv.NoError(t, err)
	if server.Major < 13 || server.Version == "" || server.ReadOnly {
		t.Errorf("%+v", server)
	}
	if server.Clock.Before(before.Truncate(time.Microsecond)) || server.Clock.After(time.Now()) {
		t.Errorf("clock %s, queried at %s", server.Clock, before)
	}
	if server, err := open(t, dsn+"&default_transaction_read_only=on").Server(ctx); err != nil || !server.ReadOnly {
		t.Errorf("%+v %v", server, err)
	}
}
