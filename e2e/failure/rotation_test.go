package failure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// Rotates the password of the edge's role, in its file and on the server, and ends all connections.
// Only a password in the configuration itself needs a reload.
func TestRotatedPassword_CostsNoSale(t *testing.T) {
	for name, reload := range map[string]bool{"passfile": false, "file placeholder": true} {
		t.Run(name, func(t *testing.T) {
			server := testenv.Postgres(t)
			admin := server.DSN("postgres")
			db := migrateAndSeed(t, admin)
			db.AddKey(coldKey, "conversionsWrite")
			db.Exec(`COPY (SELECT unnest('{local all postgres trust,local all rotated scram-sha-256}'::text[]))
				TO PROGRAM 'cat > pg_hba.conf'`)
			db.Exec("CREATE ROLE rotated LOGIN SUPERUSER")
			db.Exec("SELECT pg_reload_conf()")
			file := filepath.Join(t.TempDir(), "secret")
			rotate := func(password string) {
				t.Helper()
				db.Exec("ALTER ROLE rotated PASSWORD '" + password + "'")
				content := "*:*:*:rotated:" + password + "\n"
				if reload {
					content = admin + "&user=rotated&password=" + password + "\n"
				}
				testenv.NoError(t, os.WriteFile(file, []byte(content), 0o600))
			}
			rotate("s3cret_old")
			settings := harness.Settings{
				DatabaseURL: admin + "&user=rotated&passfile=" + file, RedisURL: testenv.Redis(t),
				Upstream: harness.StartSite(t, nil).Upstream(),
			}
			if reload {
				settings.Edit = func(config string) string {
					return strings.Replace(config, "{env.DATABASE_URL}", "{file."+file+"}", 1)
				}
			}
			e := harness.Start(t, settings)
			c := e.Client(t, "HTTP/1.1")
			harness.WantStatus(t, e.Sell(t, c, harness.ValidSale), 201)
			rotate("s3cret_new")
			db.Exec("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'rotated'")
			if reload {
				e.Reload(t)
				c.CloseIdleConnections() // HTTP/1.1 cannot announce that the reload closes them
			}
			for _, key := range []string{harness.FullKey, coldKey} {
				harness.WantStatus(t, e.SellAs(t, c, "Bearer "+key), 201)
			}
			if strings.Contains(e.Log.String(), "s3cret") {
				t.Error("the log contains the password")
			}
		})
	}
}
