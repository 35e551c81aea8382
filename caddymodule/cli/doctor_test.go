package cli

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

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
