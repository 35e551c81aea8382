package admin_test

import (
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/admin"
)

func TestTheServerSaysItsVersionAndTime(t *testing.T) {
	dsn, ctx := testenv.EmptyDatabase(t), testenv.Guarded(t)
	before := time.Now()
	server, err := admin.AskServer(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	if server.Major < 13 || server.Version == "" || server.ReadOnly {
		t.Errorf("%+v", server)
	}
	if server.Clock.Before(before.Truncate(time.Microsecond)) || server.Clock.After(time.Now()) {
		t.Errorf("clock %s, asked at %s", server.Clock, before)
	}
	if server, err := admin.AskServer(ctx, dsn+"&default_transaction_read_only=on"); err != nil || !server.ReadOnly {
		t.Errorf("%+v %v", server, err)
	}
}
