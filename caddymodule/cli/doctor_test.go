package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/internal/testenv"
)

func TestDoctorCommand_PrintsOneJSONDocument(t *testing.T) {
	dsn := testenv.Database(t)
	t.Setenv("DATABASE_URL", dsn)
	t.Setenv("REDIS_URL", testenv.Redis(t))
	var document struct {
		Failures, Warnings int
		Findings           []map[string]string
	}
	stdout, _, err := hoko(t, "doctor", "--json")
	if err != nil {
		t.Error(err)
	}
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&document); err != nil || decoder.More() {
		t.Fatalf("%v in\n%s", err, stdout)
	}
	want := map[string]string{"severity": "warning", "about": "attribution",
		"text": "hoko.links is empty: every sale is 400, because nothing attributes it",
		"fix":  "see docs/first-sale.md for how to add links, clicks and leads"}
	found := slices.ContainsFunc(document.Findings, func(f map[string]string) bool { return maps.Equal(f, want) })
	if document.Failures != 0 || document.Warnings == 0 || !found {
		t.Errorf("it printed\n%s", stdout)
	}
}

func TestDoctorCommand_JSONWithoutAddresses(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	t.Setenv("REDIS_URL", "")
	stdout, _, err := hoko(t, "doctor", "--json")
	if err == nil {
		t.Error("it succeeds")
	}
	var document struct{ Failures int }
	if err := json.Unmarshal([]byte(stdout), &document); err != nil || document.Failures != 2 {
		t.Errorf("%v in %q", err, stdout)
	}
	for _, want := range []string{"set DATABASE_URL", "set REDIS_URL"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("it does not print %s:\n%s", want, stdout)
		}
	}
}

func TestDoctorCommand_FailsOnFailuresOrIfStrict(t *testing.T) {
	t.Setenv("DATABASE_URL", testenv.Database(t)) // without links
	t.Setenv("REDIS_URL", testenv.Redis(t))
	for _, tc := range []struct{ args, want string }{
		{"", ""},
		{"--strict", "there are warnings"},
		{"--strict --json", "there are warnings"},
		{"--redis-url redis://127.0.0.1:1", "the edge would not work"},
		{"--json --redis-url redis://127.0.0.1:1", "the edge would not work"},
	} {
		_, _, err := hoko(t, append([]string{"doctor"}, strings.Fields(tc.args)...)...)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%s: error %q, want %q", tc.args, got, tc.want)
		}
	}
}

// Redis's ACL allows the keys of one prefix only.
func TestDoctorCommand_RedisPrefix(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://hoko@127.0.0.1:1/site")
	url := testenv.Redis(t)
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	if err := client.Do(t.Context(), "ACL", "SETUSER", "default", "resetkeys", "~rate:shop:*").Err(); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]string{
		"shop:": "ok    redis: ", "": "grant the user ~rate:hoko:*", "site:": "grant the user ~rate:site:*",
	} {
		if got, _, _ := hoko(t, "doctor", "--redis-url", url, "--redis-prefix", prefix); !strings.Contains(got, want) {
			t.Errorf("with prefix %q it does not print %q:\n%s", prefix, want, got)
		}
	}
}

func TestDoctorCommand_RejectsConflictingFlags(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	for flags, want := range map[string]string{
		"--adapter caddyfile": "--adapter needs --config",
		"--edges 0":           "--edges must be at least 1",
		"--database-url postgres://a/b --database-url-file f": "are set none of the others",
		"--database-url-file /none":                           "--database-url-file: open /none",
	} {
		stdout, _, err := hoko(t, append([]string{"doctor"}, strings.Fields(flags)...)...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(stdout, "FAIL") {
			t.Errorf("%s: %v %s", flags, err, stdout)
		}
	}
}

// Each server accepts connections and never answers.
func TestDoctorCommand_MuteServersTimeOut(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	testenv.NoError(t, err)
	defer mute.Close()
	at := mute.Addr().String()
	file := filepath.Join(t.TempDir(), "edge.json")
	config := fmt.Sprintf(`{"apps": {
		"hoko": {"postgres": {"dsn": "postgres://u:s3cret@%s/d", "listen_dsn": "postgres://u:s3cret@%[1]s/d"},
			"redis": {"url": "redis://:s3cret@%[1]s"}},
		"http": {"servers": {"srv0": {"listen": [":443"], "routes": [{"handle": [
			{"handler": "reverse_proxy", "upstreams": [{"dial": %[1]q}, {"dial": "192.0.2.1:9"}]}]}]}}}}}`, at)
	testenv.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	start := time.Now()
	stdout, stderr, err := hoko(t, "doctor", "--config", file)
	if err == nil {
		t.Error("it succeeds")
	}
	if took := time.Since(start); took > 25*time.Second {
		t.Errorf("it took %s", took)
	}
	for _, want := range []string{"ok    configuration: ", "FAIL  postgres: ", "FAIL  listener: ", "FAIL  redis: ",
		"ok    site: upstream " + at + " accepts", "warn  site: upstream 192.0.2.1:9 cannot be reached: "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("want %s in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout+stderr, "s3cret") {
		t.Errorf("it prints a password:\n%s%s", stdout, stderr)
	}
}
