package flow

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

var long = flag.Bool("flow.long", false, "run each test at full length with all clients")

// choose returns the value for the short or the long form of a test. In the short form commits take
// long, so that other work on the machine hardly changes the throughput.
func choose[V any](short, ifLong V) V {
	if *long {
		return ifLong
	}
	return short
}

const workspaces = 50

// shop is a database with workspaces, each with a key, a link and a click, and its edges.
type shop struct {
	t     *testing.T
	db    harness.DB
	dsn   string
	edges []*harness.Edge
}

// openShop starts edges on a new shop. settings go into their sales block.
func openShop(t *testing.T, edges int, settings string) *shop {
	t.Helper()
	dsn := testenv.Database(t)
	s := stockShop(t, dsn)
	s.start(edges, dsn, settings)
	return s
}

func stockShop(t *testing.T, dsn string) *shop {
	t.Helper()
	s := &shop{t: t, db: harness.Connect(t, dsn), dsn: dsn}
	s.db.Exec(`INSERT INTO hoko.workspaces (id, name, rate_limit, rate_period, rate_burst)
		SELECT 'ws_' || i, i, 1000000, '1 minute', 1000000 FROM generate_series(0, $1::int - 1) i`, workspaces)
	s.db.Exec(`INSERT INTO hoko.links (id, workspace_id, url, short_url)
		SELECT 'link_' || id, id, 'https://example.com', 'https://hoko.to/' || id FROM hoko.workspaces`)
	s.db.Exec(`INSERT INTO hoko.clicks (id, workspace_id, link_id) SELECT 'click_' || id, id, 'link_' || id
		FROM hoko.workspaces`)
	s.db.Exec(`INSERT INTO hoko.api_keys (workspace_id, name, key_hash, key_start, scopes)
		SELECT id, 'a key', sha256(('hoko_flow_key_of_' || id)::bytea), 'hoko_flow', '{conversionsWrite}'
		FROM hoko.workspaces`)
	return s
}

func (s *shop) start(edges int, dsn, settings string) {
	s.t.Helper()
	redis := testenv.Redis(s.t)
	edit := strings.NewReplacer("\tlog\n", "", "\t\tguesses 60/1m\n", "\t\tguesses 60/1m\n\t\tsales {\n"+settings+
		"\n\t\t}\n").Replace
	for i := range edges {
		named := fmt.Sprintf("%s&application_name=edge-%d", dsn, i)
		s.edges = append(s.edges, harness.Start(s.t,
			harness.Settings{DatabaseURL: named, RedisURL: redis, Upstream: "127.0.0.1:1", Edit: edit}))
	}
}

// commitsTake delays the commit of each transaction that records sales, as a distant standby does.
func (s *shop) commitsTake(d time.Duration) {
	s.t.Helper()
	s.db.Exec(fmt.Sprintf(`CREATE FUNCTION public.commit_slowly() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF current_setting('flow.slept', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
				PERFORM set_config('flow.slept', pg_current_xact_id()::text, true), pg_sleep(%f);
			END IF;
			RETURN NULL;
		END $$`, d.Seconds()))
	s.db.Exec(`CREATE CONSTRAINT TRIGGER commit_slowly AFTER INSERT ON hoko.sales DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION public.commit_slowly()`)
}

func workspace(i int) string { return fmt.Sprint("ws_", i) }
