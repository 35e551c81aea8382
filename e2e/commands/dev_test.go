package commands

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

type devRun struct {
	*harness.Process
	t           testing.TB
	port        int
	out, errOut *testenv.Log
}

// stateHome returns a new state directory that the servers' user can reach if the test runs as
// root.
func stateHome(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(testenv.ShortDir(t), "it's state")
	testenv.NoError(t, os.Mkdir(dir, 0o711))
	testenv.NoError(t, os.Chmod(filepath.Dir(dir), 0o711))
	return dir
}

// devCommand returns `caddy hoko dev` in an environment without servers, plus environment. It must
// stop without the delay.
func devCommand(ctx context.Context, t testing.TB, state string, port int, environment ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, testenv.Edge(t), "hoko", "dev", "--port", strconv.Itoa(port))
	cmd.Env = append(os.Environ(), "HOME="+state, "XDG_STATE_HOME="+state, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=",
		"DATABASE_URL=", "REDIS_URL=", "UPSTREAM=", "SITE_ADDRESS=",
		"SHUTDOWN_DELAY=1h")
	cmd.Env = append(cmd.Env, environment...)
	return cmd
}

// startDev starts `caddy hoko dev` and waits until its banner is complete.
func startDev(t testing.TB, state string, port int, environment ...string) *devRun {
	t.Helper()
	d := &devRun{t: t, port: port, out: new(testenv.Log), errOut: new(testenv.Log)}
	cmd := devCommand(context.Background(), t, state, port, environment...)
	cmd.Stdout, cmd.Stderr = d.out, d.errOut
	d.Process = harness.StartProcess(t, cmd, d.out, d.errOut)
	t.Cleanup(func() {
		d.stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("hoko dev printed\n%s\n%s", d.out, d.errOut)
		}
	})
	d.out.Wait(t, "Ctrl-C stops everything")
	return d
}

// failedDev returns the output of a `caddy hoko dev` that must fail to start.
func failedDev(t testing.TB, state string, port int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.HangGuard)
	defer cancel()
	out, err := devCommand(ctx, t, state, port).CombinedOutput()
	if err == nil || ctx.Err() != nil {
		t.Errorf("hoko dev did not fail: %v", err)
	}
	return string(out)
}

func (d *devRun) stop(signal syscall.Signal) (code int) {
	d.t.Helper()
	d.Signal(signal)
	return d.AwaitEnd(d.t)
}

func (d *devRun) printed(pattern string) string {
	d.t.Helper()
	found := regexp.MustCompile("(?m)" + pattern).FindString(d.out.String())
	if found == "" {
		d.t.Fatalf("hoko dev did not print %s", pattern)
	}
	return found
}

func (d *devRun) curlLine() string { d.t.Helper(); return d.printed(`^curl .*$`) }

// paste runs the printed curl line with more arguments.
func (d *devRun) paste(more string) string {
	d.t.Helper()
	out, err := exec.CommandContext(d.t.Context(), "bash", "-c", d.curlLine()+" "+more).Output()
	if err != nil {
		d.t.Fatalf("%s: %v", d.curlLine(), err)
	}
	return string(out)
}

// wantSale fails the test unless answer is that of a recorded sale, and returns the sale's ID.
func (d *devRun) wantSale(answer string) string {
	d.t.Helper()
	id := regexp.MustCompile(`(?m)^hoko-sale-id: (\S+)`).FindStringSubmatch(answer)
	if !strings.HasPrefix(answer, "HTTP/2 201 ") || !strings.Contains(answer, `"sale":{"amount":12900,`) || id == nil {
		d.t.Fatalf("the printed line returned\n%s", answer)
	}
	return id[1]
}

// get fetches a page, trusting the printed certificate authority.
func (d *devRun) get(path string) string {
	d.t.Helper()
	e := &harness.Edge{Port: d.port, Host: "localhost"}
	quoted := regexp.MustCompile(`--cacert '(.*?root\.crt)'`).FindStringSubmatch(d.curlLine())
	root, err := os.ReadFile(strings.ReplaceAll(quoted[1], `'\''`, "'"))
	testenv.NoError(d.t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	client := &http.Client{Timeout: harness.HangGuard,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	answer := e.Call(d.t, client, "GET", path, "")
	if answer.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: %s", path, answer.Status)
	}
	return answer.Text
}

func (d *devRun) connectToServers() (postgres, redis net.Conn) {
	d.t.Helper()
	conn, err := pgx.Connect(d.t.Context(), d.printed(`postgres://\S+$`))
	testenv.NoError(d.t, err)
	address, err := url.Parse(d.printed(`unix://\S+$`))
	testenv.NoError(d.t, err)
	redis, err = net.Dial("unix", address.Path)
	testenv.NoError(d.t, err)
	postgres = conn.PgConn().Conn()
	d.t.Cleanup(func() { postgres.Close(); redis.Close() })
	return postgres, redis
}

// awaitHangUp waits until the server at the other end has ended.
func awaitHangUp(t testing.TB, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(harness.HangGuard))
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a server is still running")
	}
}

func TestDev_PrintedLineRecordsASale(t *testing.T) {
	d := startDev(t, stateHome(t), testenv.FreePort(t))
	d.wantSale(d.paste(""))
	page := d.get("/")
	if !strings.Contains(page, "the demo site behind the edge") || !strings.Contains(page, "X-Forwarded-Proto: https") {
		t.Errorf("the site answers\n%s", page)
	}
}

func TestDevBanner_LinesWork(t *testing.T) {
	d := startDev(t, stateHome(t), testenv.FreePort(t))
	exports := d.printed(`^export DATABASE_URL=.*$`) + "\n" + d.printed(`^export REDIS_URL=.*$`) + "\n"
	run := func(script string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "bash", "-euc", script).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
		return string(out)
	}
	if got := run(exports + testenv.Edge(t) + " hoko doctor"); !strings.Contains(got, "ok    redis: ") {
		t.Errorf("doctor finds\n%s", got)
	}
	for name, want := range map[string]string{"state": `"backends":[{`, "metrics": "hoko_auth_total"} {
		line := strings.TrimPrefix(d.printed(`^  `+name+` +curl .*$`), "  "+name)
		if got := run(line); !strings.Contains(got, want) {
			t.Errorf("%s prints\n%s", line, got)
		}
	}
	d.paste("")
	d.errOut.Wait(t, "handled request")
	if printed := d.out.String() + d.errOut.String(); strings.Contains(printed, "\x1b") {
		t.Errorf("colors in a file: %q", printed)
	}
}

func TestDev_LogsNoKey(t *testing.T) {
	d := startDev(t, stateHome(t), testenv.FreePort(t))
	key := regexp.MustCompile(`Bearer (hoko_\w+)`).FindStringSubmatch(d.curlLine())[1]
	d.get("/page?a=" + key + "&b=c")
	d.errOut.Wait(t, "handled request", "/page?a="+key[:9]+"***&b=c")
	if strings.Contains(d.errOut.String(), key) {
		t.Errorf("it logged\n%s", d.errOut)
	}
}

func TestDev_SignalStopsEverything(t *testing.T) {
	state := stateHome(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		d := startDev(t, state, testenv.FreePort(t))
		postgres, redis := d.connectToServers()
		code := d.stop(signal)
		awaitHangUp(t, postgres)
		awaitHangUp(t, redis)
		if code != 0 || strings.Contains(d.errOut.String(), "Error") {
			t.Errorf("exit code %[2]d after %[1]s", signal, code)
		}
	}
}

func TestDev_KilledStopsServersAndKeepsData(t *testing.T) {
	state, port := stateHome(t), testenv.FreePort(t)
	d := startDev(t, state, port)
	id := d.wantSale(d.paste("-H 'Idempotency-Key: before'"))
	postgres, redis := d.connectToServers()
	d.stop(syscall.SIGKILL)
	awaitHangUp(t, postgres)
	awaitHangUp(t, redis)

	again := startDev(t, state, port)
	if again.curlLine() != d.curlLine() {
		t.Errorf("the line changed from\n%s\nto\n%s", d.curlLine(), again.curlLine())
	}
	replayed := again.paste("-H 'Idempotency-Key: before'")
	if again.wantSale(replayed) != id || !strings.Contains(replayed, "idempotency-replayed: true") {
		t.Errorf("sale %s is not replayed:\n%s", id, replayed)
	}
}

func TestDev_SecondReportsTheFirst(t *testing.T) {
	state := stateHome(t)
	d := startDev(t, state, testenv.FreePort(t))
	said := failedDev(t, state, testenv.FreePort(t))
	if !strings.Contains(said, "hoko dev is running already") ||
		!strings.Contains(said, "process "+strconv.Itoa(d.PID())) {
		t.Errorf("got %s", said)
	}
	d.wantSale(d.paste("")) // the first is not affected
}

func TestDev_PortInUseFails(t *testing.T) {
	e := harness.StartStack(t, nil) // another Caddy, which could share the port
	said := failedDev(t, stateHome(t), e.Port)
	if !strings.Contains(said, "port "+strconv.Itoa(e.Port)+" is in use: choose another one with --port") {
		t.Errorf("got %s", said)
	}
}

func TestDev_EndsWithItsServer(t *testing.T) {
	d := startDev(t, stateHome(t), testenv.FreePort(t))
	_, redis := d.connectToServers()
	if _, err := redis.Write([]byte("SHUTDOWN\r\n")); err != nil {
		t.Fatal(err)
	}
	code := d.AwaitEnd(t)
	if code == 0 || !strings.Contains(d.errOut.String(), "redis-server exited") &&
		!strings.Contains(d.errOut.String(), "valkey-server exited") {
		t.Errorf("exit code %d:\n%s", code, d.errOut)
	}
}

func TestDev_UsesServersOfItsEnvironment(t *testing.T) {
	dsn, site, state := testenv.EmptyDatabase(t), harness.StartSite(t, nil), stateHome(t)
	d := startDev(t, state, testenv.FreePort(t), "DATABASE_URL="+dsn, "REDIS_URL="+testenv.Redis(t),
		"UPSTREAM="+site.Upstream())
	id := d.wantSale(d.paste(""))
	if page := d.get("/page"); page != "site GET /page" {
		t.Errorf("the site answers %s", page)
	}
	if n := harness.Connect(t, dsn).Count("SELECT count(*) FROM hoko.sales WHERE id = $1", id); n != 1 {
		t.Errorf("the sale is recorded %d times", n)
	}
	if strings.Contains(d.out.String(), dsn) || !strings.Contains(d.errOut.String(), "workspace hoko_dev is added") {
		t.Errorf("hoko dev printed\n%s\n%s", d.out, d.errOut)
	}
	for _, own := range []string{"postgres", "redis"} {
		if _, err := os.Stat(filepath.Join(state, "hoko-edge", own)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it started its own %s: %v", own, err)
		}
	}
}
