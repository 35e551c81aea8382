package testenv

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestReplicated_WaitsAndFailsOver(t *testing.T) {
	p := Replicated(t)
	Connect(t, p.DSN("postgres")).Exec("CREATE TABLE kept (value text)")

	t.Run("its ports require a password", func(t *testing.T) {
		_, err := pgx.Connect(t.Context(), "postgres://postgres@"+p.Primary().Address+"/postgres?sslmode=disable")
		if _, refused := err.(*pgconn.ConnectError); !refused {
			t.Errorf("without a password: %v", err)
		}
		if got := Connect(t, p.DSNAt("postgres", p.Primary().Address)).Text("SELECT 'in'"); got != "in" {
			t.Errorf("with a password: %q", got)
		}
	})

	t.Run("a commit waits for the standby", func(t *testing.T) {
		conn := Connect(t, p.DSN("postgres")).Conn
		p.Standby().Kill()
		committed := make(chan error, 1)
		go func() {
			_, err := conn.Exec(context.Background(), "INSERT INTO kept VALUES ('yes')")
			committed <- err
		}()
		Until(t, "the commit waits", func() bool { return p.Waiting(t) == 1 })
		select {
		case err := <-committed:
			t.Fatalf("the commit did not wait: %v", err)
		default:
		}
		p.Standby().Start(t)
		if err := <-committed; err != nil {
			t.Error(err)
		}
		p.AwaitStandby(t)
		if n := p.Waiting(t); n != 0 {
			t.Errorf("%d sessions wait", n)
		}
	})

	t.Run("commits survive two failovers", func(t *testing.T) {
		rows := 1
		for _, dsn := range []string{p.DSN("postgres"), p.DSNAt("postgres")} {
			before := p.Primary()
			Connect(t, dsn).Exec("INSERT INTO kept VALUES ('yes')")
			rows++
			before.Kill()
			p.Promote(t)
			if p.Primary() == before {
				t.Fatal("the primary has not changed")
			}
			if got := Connect(t, dsn).Count("SELECT count(*) FROM kept"); got != rows {
				t.Fatalf("%d rows, want %d", got, rows)
			}
			p.Rejoin(t)
		}
	})
}
