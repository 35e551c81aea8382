package command_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/caddymodule/explain"
	"hoko.to/edge/plugin/apikey"
)

// reply is how an admin endpoint answers a question by hash.
type reply struct {
	status int
	text   string
}

// askedFor returns the queries that AskKey sends for an argument and standard input.
func askedFor(t *testing.T, byHash reply, argument, stdin string) (queries []string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		queries = append(queries, r.URL.RawQuery)
		if !r.URL.Query().Has("hash") || byHash.status == http.StatusOK {
			return
		}
		w.WriteHeader(byHash.status)
		json.NewEncoder(w).Encode(map[string]string{"error": byHash.text})
	}))
	defer server.Close()
	cmd := &cobra.Command{Use: "show", Args: cobra.ExactArgs(1), SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			which, err := command.Key(cmd)
			if err != nil {
				return err
			}
			_, err = command.AskKey(cmd.Context(), cmd, http.MethodGet, "/hoko/explain", which)
			return err
		}}
	command.AddAdminFlags(cmd)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	cmd.SetArgs([]string{"--address", strings.TrimPrefix(server.URL, "http://"), argument})
	err := cmd.ExecuteContext(context.Background())
	if err != nil && stdin+argument != "-" && strings.Contains(err.Error(), strings.TrimSpace(stdin)+argument) {
		t.Errorf("the error has the key: %v", err)
	}
	return queries
}

func TestAskKey_SendsNoWholeKey(t *testing.T) {
	const (
		id     = "0190a8f2-7d3c-7cc1-9d0e-0d0b9e6a3c11"
		short  = "hoko_Ab12"
		ours   = "hoko_Ab12Cd34Ef56Gh78Ij90"
		theirs = "sk_live_0123456789abcdef"
	)
	hex32, hex64 := strings.Repeat("0f", 16), strings.Repeat("0f", 32)
	hash := func(key string) string { return "hash=" + apikey.HashOf(key).String() }
	unknown := reply{404, explain.NoSuchKey + ": caddy hoko keys list shows all"}
	found, down := reply{200, ""}, reply{503, "Postgres does not answer (timeout)"}
	noLimits, oldEdge := reply{404, "the running configuration has no redis_rate_limit"}, reply{404, "no such path"}
	for _, c := range []struct {
		argument, stdin string
		byHash          reply
		want            []string
	}{
		{id, "", down, []string{"key=" + id}},
		{short, "", down, []string{"key=" + short}},
		{"-", id + "\n", unknown, []string{hash(id)}},
		{"-", short + "\n", unknown, []string{hash(short)}},
		{"-", hex64 + "\n", unknown, []string{hash(hex64)}},
		{ours, "", unknown, []string{hash(ours)}},
		{theirs, "", found, []string{hash(theirs)}},
		{theirs, "", down, []string{hash(theirs)}},
		{theirs, "", noLimits, []string{hash(theirs)}},
		{theirs, "", oldEdge, []string{hash(theirs)}},
		{theirs, "", unknown, []string{hash(theirs), "key=" + theirs}},
		{hex32, "", found, []string{hash(hex32)}},
		{hex32, "", down, []string{hash(hex32)}},
		{hex64, "", found, []string{hash(hex64)}},
		{hex64, "", down, []string{hash(hex64)}},
		{hex64, "", unknown, []string{hash(hex64), "hash=" + hex64}},
	} {
		if got := askedFor(t, c.byHash, c.argument, c.stdin); !slices.Equal(got, c.want) {
			t.Errorf("%s %q, %+v: it asks\n%q, want\n%q", c.argument, c.stdin, c.byHash, got, c.want)
		}
	}
}
