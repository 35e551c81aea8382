package ratelimit

import (
	"errors"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/internal/testenv"
)

// grant creates the user edge as in docs/operations.md, with more rules added.
func grant(t *testing.T, client *redis.Client, prefix string, more ...any) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`redis-cli (ACL SETUSER edge .*)`).FindSubmatch(doc)
	if line == nil {
		t.Fatal("docs/operations.md has no ACL SETUSER command")
	}
	text := strings.NewReplacer("'", "", ">password", ">tOpSeCrEt", "hoko:", prefix).Replace(string(line[1]))
	var args []any
	for _, word := range strings.Fields(text) {
		args = append(args, word)
	}
	command(t, client, append(args, more...)...)
}

func TestCheck_UserWithDocumentedPermissions(t *testing.T) {
	server := testenv.RedisServer(t)
	admin := adminClient(t, server.URL())
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("edge", "tOpSeCrEt")
	o := Options{URL: u.String(), Prefix: "staging:", Timeout: longTimeout}
	grant(t, admin, "staging:")
	got, err := Check(t.Context(), o)
	if err != nil || got.Nodes[0].Clock.IsZero() || got.Cluster || got.Took <= 0 || got.Took > time.Second {
		t.Fatalf("got %+v, %v", got, err)
	}
	if n := len(command(t, admin, "KEYS", "*").([]any)); n == 0 {
		t.Error("no key was written")
	}
	tests := []struct {
		name   string
		prefix string
		more   []any
	}{
		{"another prefix", "hoko:", nil},
		{"no EVAL", "staging:", []any{"-eval"}},
		{"no EVALSHA", "staging:", []any{"-evalsha"}},
		{"no GET", "staging:", []any{"-get"}},
		{"no SET", "staging:", []any{"-set"}},
		{"no TIME", "staging:", []any{"-time"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			command(t, admin, "SCRIPT", "FLUSH")
			grant(t, admin, tt.prefix, tt.more...)
			wantFault(t, o, "grant the user ~rate:staging:* ")
		})
	}
	grant(t, admin, "staging:")
	u.User = url.UserPassword("edge", "WrOnG")
	wantFault(t, Options{URL: u.String()}, "check the url's user and password")
}

func wantFault(t *testing.T, o Options, fix string) {
	t.Helper()
	_, err := Check(t.Context(), o)
	fault, ok := errors.AsType[*Fault](err)
	if !ok || !strings.HasPrefix(fault.Fix, fix) {
		t.Fatalf("got %v, want the fix %q", err, fix)
	}
	if text := err.Error(); strings.Contains(text, "tOpSeCrEt") || strings.Contains(text, "WrOnG") {
		t.Errorf("%q contains the password", err)
	}
}

func TestCheck_FaultNamesTheFix(t *testing.T) {
	server := testenv.RedisServer(t)
	admin := adminClient(t, server.URL())
	wantFault(t, Options{URL: "redis://127.0.0.1:" + freePort(t)}, "check the url's host and port")
	wantFault(t, Options{URL: "nonsense"}, "check the url")
	wantFault(t, Options{URL: server.URL(), Timeout: time.Nanosecond}, "increase redis { timeout }")
	command(t, admin, "CONFIG", "SET", "maxmemory", "1")
	wantFault(t, Options{URL: server.URL()}, "raise maxmemory")
	command(t, admin, "CONFIG", "SET", "maxmemory", "0")
	command(t, admin, "REPLICAOF", "127.0.0.1", "1")
	wantFault(t, Options{URL: server.URL()}, "name the master")
}

func TestCheck_ClusterFromOneAddress(t *testing.T) {
	nodes := startCluster(t)
	for _, more := range [][]any{{"+cluster|slots", "+asking", "+info", "+config|get"}, nil} {
		for _, n := range nodes {
			grant(t, n.Client, "hoko:", more...)
		}
		o := Options{URL: "redis://edge:tOpSeCrEt@127.0.0.1:" + nodes[0].port, Timeout: longTimeout}
		if more == nil {
			wantFault(t, o, "grant the user ~rate:hoko:* ")
			continue
		}
		if got, err := Check(t.Context(), o); err != nil || !got.Cluster || len(got.Nodes) != len(nodes) ||
			got.Nodes[0].Address >= got.Nodes[1].Address || got.Nodes[1].Info["redis_version"] == "" ||
			got.Nodes[1].Config["appendfsync"] == "" {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
}
