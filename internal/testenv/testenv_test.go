package testenv

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// orphanMode names the environment variable that makes this binary start its shared server and run
// until it is killed.
const orphanMode = "TESTENV_ORPHAN"

func TestMain(m *testing.M) {
	if os.Getenv(orphanMode) != "" {
		runOrphan()
	}
	code := Main(m)
	if _, err := os.Stat(scratch.path); !os.IsNotExist(err) {
		fmt.Printf("%s is left behind (%v)\n", scratch.path, err)
		code = 1
	}
	os.Exit(code)
}

func runOrphan() {
	server, err := startShared()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(scratch.path)
	<-server.Done()
	os.Exit(1)
}

func TestDatabase_IsMigratedAndPrivate(t *testing.T) {
	one, two := Connect(t, Database(t)), Connect(t, Database(t))
	one.Exec("INSERT INTO hoko.workspaces (id, name) VALUES ('w', 'mine')")
	if got := one.Count("SELECT count(*) FROM hoko.workspaces"); got != 1 {
		t.Errorf("the database with a row has %d", got)
	}
	if got := two.Count("SELECT count(*) FROM hoko.workspaces"); got != 0 {
		t.Errorf("the other database has %d rows", got)
	}
}

func TestEmptyDatabase_HasNoSchema(t *testing.T) {
	conn := Connect(t, EmptyDatabase(t))
	if conn.Count("SELECT count(*) FROM pg_namespace WHERE nspname = 'hoko'") != 0 {
		t.Error("it has a schema")
	}
}

func TestDatabase_IsDroppedAfterTheTest(t *testing.T) {
	var name string
	t.Run("a test that leaves a connection open", func(t *testing.T) {
		dsn := Database(t)
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		name = conn.Config().Database
	})
	admin := Connect(t, sharedPostgres.server.DSN("postgres"))
	if name == "" || admin.Count("SELECT count(*) FROM pg_database WHERE datname = $1", name) != 0 {
		t.Errorf("%q is still there", name)
	}
}

func TestPostgres_RestartKeepsData(t *testing.T) {
	s := Postgres(t)
	Connect(t, s.DSN("postgres")).Exec("CREATE TABLE kept AS SELECT 'yes' AS value")
	address := s.DSN("postgres")
	s.Kill()
	if _, err := pgx.Connect(t.Context(), address); err == nil {
		t.Error("it answers after its end")
	}
	s.Start(t)
	if got := Connect(t, address).Text("SELECT value FROM kept"); got != "yes" {
		t.Errorf("data: %q", got)
	}
}

// redis sends one command and returns the first line of the answer.
func redis(t *testing.T, address, command string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial(u.Scheme, u.Path)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s\r\n", command)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func TestRedis_IsPrivate(t *testing.T) {
	one, two := Redis(t), Redis(t)
	if got := redis(t, one, "SET key value"); got != "+OK" {
		t.Fatal(got)
	}
	if got := redis(t, two, "GET key"); got != "$-1" {
		t.Errorf("the other Redis has the key: %s", got)
	}
}

func TestRedisServer_RestartIsEmpty(t *testing.T) {
	s := RedisServer(t)
	address := s.URL()
	redis(t, address, "SET key value")
	s.Stop()
	if got := redis(t, address, "PING"); got == "+PONG" {
		t.Error("it answers after its end")
	}
	s.Start(t)
	if got := redis(t, address, "GET key"); got != "$-1" {
		t.Errorf("got %s", got)
	}
}

func TestScratch_IsRemovedAfterAKill(t *testing.T) {
	inherited, held, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	orphan := exec.Command(os.Args[0])
	orphan.Env = append(os.Environ(), orphanMode+"=1")
	orphan.ExtraFiles = []*os.File{held} // its children inherit it
	out, err := orphan.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	held.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	dir := strings.TrimSpace(line)
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("while it runs: %v", err)
	}
	if err := orphan.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	orphan.Wait() // fails with signal: killed

	if err := inherited.SetReadDeadline(time.Now().Add(HangGuard)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(inherited); err != nil { // ends with the last child
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left behind (%v)", dir, err)
	}
}
