package caddymodule

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/jackc/pgx/v5"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/admin"
)

func TestMain(m *testing.M) {
	caddy.RegisterModule(memoryLog{})
	os.Exit(testenv.Main(m))
}

// hangGuard is how long tests wait for what takes long only if the edge hangs.
const hangGuard = time.Minute

// testEdge is a Caddy with the edge's modules. Tests run one at a time, because a process has only
// one Caddy.
type testEdge struct {
	t            testing.TB
	dsn, redis   string
	address, dir string
	hoko, routes string // more settings of the hoko block, and the site's routes
	unlogged     bool   // the site has no access log
	format       string // of the log; default json
}

// newEdge returns an edge that is not started yet.
func newEdge(t testing.TB, dsn, redis string) *testEdge {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	e := &testEdge{t: t, dsn: dsn, redis: redis, address: listener.Addr().String(), dir: t.TempDir()}
	clean := fmt.Sprintf(`{"tls":{"timestamp":%q}}`, time.Now().Format(time.RFC3339)) // so Caddy cleans no storage
	if err := os.WriteFile(filepath.Join(e.dir, "last_clean.json"), []byte(clean), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DATABASE_URL", dsn)
	t.Setenv("REDIS_URL", redis)
	written.reset()
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
		backend.DropExpiring()
	})
	return e
}

// startEdge starts an edge with these routes, a new database and an empty Redis.
func startEdge(t testing.TB, routes string) *testEdge {
	t.Helper()
	e := newEdge(t, testenv.Database(t), testenv.Redis(t))
	e.routes = routes
	e.mustLoad()
	return e
}

func (e *testEdge) config() []byte {
	e.t.Helper()
	accessLog := "log"
	if e.unlogged {
		accessLog = ""
	}
	return mustAdapt(e.t, string(caddyfile.Format(fmt.Appendf(nil, `{
	admin off
	persist_config off
	auto_https off
	storage file_system %s
	storage_check off
	grace_period 20s
	log {
		output hoko_test
		format %s
	}
	hoko {
		postgres {env.DATABASE_URL}
		redis {env.REDIS_URL} {
			timeout 10s
		}
		%s
	}
}
http://%s {
	%s
	%s
}
`, e.dir, cmp.Or(e.format, "json"), e.hoko, e.address, accessLog, e.routes))))
}

// mustRun loads a config into Caddy.
func mustRun(t testing.TB, config []byte) {
	t.Helper()
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
}

// load starts the edge, or reloads it.
func (e *testEdge) load() error { return caddy.Load(e.config(), true) }

func (e *testEdge) mustLoad() {
	e.t.Helper()
	mustRun(e.t, e.config())
	testenv.AwaitOneListener(e.t, int(netip.MustParseAddrPort(e.address).Port()))
}

// key creates an API key of the workspace Acme.
func (e *testEdge) key(scopes ...string) admin.CreatedKey {
	e.t.Helper()
	created, err := admin.CreateKey(e.t.Context(), e.dsn,
		admin.NewKey{Workspace: "Acme", CreateWorkspace: true, Scopes: scopes})
	if err != nil {
		e.t.Fatal(err)
	}
	return created
}

// answer is a response, as the client received it.
type answer struct {
	status int
	header http.Header
	body   string
}

type header map[string]string

// send sends a request on a new connection and returns the answer.
func (e *testEdge) send(method, path string, h header, body string) answer {
	e.t.Helper()
	got, err := e.try(method, path, h, body)
	if err != nil {
		e.t.Fatal(err)
	}
	return got
}

// try is send for goroutines other than the test's.
func (e *testEdge) try(method, path string, h header, body string) (answer, error) {
	request, err := http.NewRequest(method, "http://"+e.address+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for name, value := range h {
		request.Header.Set(name, value)
	}
	request.Host = request.Header.Get("Host") // if empty, the address
	client := http.Client{Timeout: hangGuard, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

func bearer(key string) header { return header{"Authorization": "Bearer " + key} }

// eventually waits for something that another goroutine or process does.
func eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for began := time.Now(); !happened(); runtime.Gosched() {
		if time.Since(began) > hangGuard {
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

// written holds all lines that Caddy has logged since the test began.
var written logLines

type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(line))
	return len(line), nil
}

func (*logLines) Close() error { return nil }

func (l *logLines) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = nil
}

func (l *logLines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

func (l *logLines) text() string { return strings.Join(l.all(), "") }

// await returns the first line with this message and this value of a field, or with any value if
// value is empty. It waits until the line is written.
func (l *logLines) await(t testing.TB, message, field, value string) (line map[string]any) {
	t.Helper()
	read := 0
	eventually(t, fmt.Sprintf("there is a line %q with %s %q", message, field, value), func() bool {
		for _, text := range l.all()[read:] {
			read++
			line = nil
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatalf("log line %q: %v", text, err)
			}
			if line["msg"] == message && fmt.Sprint(line[field]) == cmp.Or(value, fmt.Sprint(line[field])) {
				return true
			}
		}
		return false
	})
	return line
}

// memoryLog is a log writer that writes to written.
type memoryLog struct{}

func (memoryLog) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.logging.writers.hoko_test", New: func() caddy.Module { return new(memoryLog) }}
}

func (memoryLog) String() string                                { return "memory" }
func (memoryLog) WriterKey() string                             { return "memory" }
func (memoryLog) OpenWriter() (io.WriteCloser, error)           { return &written, nil }
func (memoryLog) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

// connect opens a session in the edge's database, which ends with the test.
func (e *testEdge) connect() *pgx.Conn {
	e.t.Helper()
	conn, err := pgx.Connect(e.t.Context(), e.dsn)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// sql runs a statement in the edge's database.
func (e *testEdge) sql(statement string, args ...any) {
	e.t.Helper()
	conn := e.connect()
	defer conn.Close(e.t.Context())
	if _, err := conn.Exec(e.t.Context(), statement, args...); err != nil {
		e.t.Fatal(err)
	}
}

// connections counts the edge's sessions in its database.
func (e *testEdge) connections() (n int) {
	e.t.Helper()
	conn := e.connect()
	defer conn.Close(e.t.Context())
	if err := conn.QueryRow(e.t.Context(), `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&n); err != nil {
		e.t.Fatal(err)
	}
	return n
}

// click adds a link to a workspace, with a click "click" that sales can be attributed to.
func (e *testEdge) click(workspace string) {
	e.t.Helper()
	e.sql(`INSERT INTO hoko.links (id, workspace_id, url, short_url)
		VALUES ('link', $1, 'https://example.com', 'https://hoko.to/abc')`, workspace)
	e.sql(`INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ('click', $1, 'link')`, workspace)
}

// withClick is validSale, attributed to the click.
var withClick = strings.Replace(validSale, "{", `{"clickId":"click",`, 1)
