package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/caddymodule/cli/keys"
	"hoko.to/edge/caddymodule/explain"
	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/ratelimit"
)

// explainTimeout bounds how long a running edge may take to answer: it bounds Postgres and Redis.
const explainTimeout = 10 * time.Second

func explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain <request id | key> [--address <admin> | --config <file> [--adapter <name>]] [--json]",
		Short: "Asks a running edge why it rejected a request, or what a key may do",
		Long: `Asks a running edge why it rejected a request, failed, or was slow, and what to do
next. The request id is the X-Request-Id of the response; ask the edge that has
answered, which remembers recent requests only.

Of a key, it shows the state in Postgres and in the cache of the edge, the limits,
and the recent requests that were rejected, failed or slow.

` + command.KeyHelp + `
The edge gets only its SHA-256.`,
		Example: "  $ caddy hoko explain 9aa9b8a1-2f0e-4a0b-a3a4-0d0b9e6a3c11\n  $ caddy hoko explain hoko_Ab12\n" +
			"  $ caddy hoko explain - < key.txt",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: command.First(keys.Complete),
		RunE:              printExplanation,
	}
	command.AddAdminFlags(cmd)
	command.AddJSONFlag(cmd)
	return cmd
}

func printExplanation(cmd *cobra.Command, _ []string) error {
	which, err := command.Key(cmd)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), explainTimeout)
	defer cancel()
	text, err := askWhy(ctx, cmd, which)
	if err != nil {
		return err
	}
	var document explain.Document
	if err := json.Unmarshal(text, &document); err != nil {
		return fmt.Errorf("read the answer of the edge: %w", err)
	}
	out := cmd.OutOrStdout()
	switch {
	case command.AsJSON(cmd):
		return command.PrintJSON(cmd, json.RawMessage(text))
	case document.Request != nil:
		printRequest(out, document.Request, true)
	case document.Key != nil:
		printKey(out, document.Key)
	}
	return nil
}

// askWhy returns the edge's answer about a request or a key.
func askWhy(ctx context.Context, cmd *cobra.Command, which string) ([]byte, error) {
	const path = "/hoko/explain"
	if cmd.Flags().Arg(0) == "-" || !command.IsUUID(which) {
		return command.AskKey(ctx, cmd, http.MethodGet, path, which)
	}
	answer, noRequest := command.Ask(ctx, cmd, http.MethodGet, path+"?request="+url.QueryEscape(which))
	if !command.NotFound(noRequest, explain.NoSuchRequest) {
		return answer, noRequest
	}
	answer, noKey := command.AskKey(ctx, cmd, http.MethodGet, path, which)
	if noKey != nil {
		return nil, fmt.Errorf("%w; %w", noRequest, noKey)
	}
	return answer, nil
}

// printRequest prints why a request was answered as it was. Its parts are in docs/commands.md.
func printRequest(w io.Writer, e *explain.Event, withKey bool) {
	printable := admin.Printable
	color := command.Yellow
	if e.Status >= 500 {
		color = command.Red
	}
	why, next := e.Why()
	fmt.Fprintf(w, "%s: %s of %s, request %s\n", command.Paint(w, color, fmt.Sprintf("%d %s", e.Status,
		cmp.Or(e.Cause, "slow"))), e.Part, e.Time.Format(time.RFC3339), printable(e.RequestID))
	fmt.Fprintf(w, "  %s\n", printable(why))
	if next != "" {
		fmt.Fprintf(w, "  Next: %s\n", printable(next))
	}
	if withKey && e.KeyID != "" {
		fmt.Fprintf(w, "  Key: %s of workspace %s; caddy hoko explain %s shows its state\n",
			printable(e.KeyID), printable(e.WorkspaceID), printable(e.KeyID))
	}
	if withKey {
		fmt.Fprintf(w, "  Time: %s\n", timesText(e))
	}
}

func timesText(e *explain.Event) string {
	text := durationText(e.Duration)
	for _, part := range []struct {
		name string
		took float64
	}{
		{"auth", e.AuthDuration}, {"limit", e.LimitDuration}, {"queue", e.QueueDuration}, {"commit", e.CommitDuration},
		{"site", e.SiteDuration},
	} {
		if part.took > 0 {
			text += ", " + part.name + " " + durationText(part.took)
		}
	}
	return text
}

func durationText(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Microsecond).String()
}

// printKey prints what a key may do, and what it was denied.
func printKey(w io.Writer, k *explain.Key) {
	fmt.Fprintf(w, "key %s of workspace %s\n", admin.Printable(k.KeyID), admin.Printable(k.WorkspaceID))
	rows := [][]command.Cell{
		{{Text: "  Postgres:"}, storedCell(k.Postgres)},
		{{Text: "  this edge:"}, cachedCell(k.Cache)},
	}
	access := k.Postgres.Access
	if access == nil {
		access = k.Cache.Access
	}
	if access != nil {
		hosts := admin.Printable(cmp.Or(strings.Join(access.Hostnames, ", "), "any"))
		rows = append(rows,
			[]command.Cell{{Text: "  scopes:"}, {Text: cmp.Or(strings.Join(access.Scopes, ", "), "none")}},
			[]command.Cell{{Text: "  hosts:"}, {Text: hosts}})
		if !access.ExpiresAt.IsZero() {
			rows = append(rows, []command.Cell{{Text: "  expires:"}, {Text: access.ExpiresAt.Format(time.RFC3339)}})
		}
	}
	for _, bucket := range k.Limits {
		rows = append(rows, []command.Cell{{Text: "  limit " + bucket.Name + ":"}, {Text: bucketText(bucket)}})
	}
	if k.LimitsError != "" {
		rows = append(rows, []command.Cell{{Text: "  limits:"}, {Text: k.LimitsError, Color: command.Red}})
	}
	_ = command.WriteTable(w, rows)
	if len(k.Requests) == 0 {
		fmt.Fprintln(w, "This edge remembers none of its requests as rejected, failed or slow.")
		return
	}
	fmt.Fprintln(w, "Its last requests that were rejected, failed or slow, the newest first:")
	for i := range k.Requests {
		printRequest(w, &k.Requests[i], false)
	}
}

func storedCell(s explain.Stored) command.Cell {
	switch s.State {
	case explain.StateFound:
		return command.Cell{Text: s.Access.State, Color: accessColor(s.Access)}
	case explain.StateMissing:
		return command.Cell{Text: "no such key: it has been deleted", Color: command.Red}
	}
	return command.Cell{Text: "does not answer (" + s.Error + "): see caddy hoko doctor", Color: command.Red}
}

func cachedCell(c explain.Cached) command.Cell {
	switch c.State {
	case explain.StateNotCached:
		return command.Cell{Text: "not cached: the next request asks Postgres"}
	case explain.StateRemembered:
		return command.Cell{Text: "remembers for at most 5 s that there is no such key", Color: command.Yellow}
	}
	age := time.Duration(c.Age * float64(time.Second)).Round(time.Second)
	text := fmt.Sprintf("%s, checked %s ago", c.Access.State, age)
	if c.State == explain.StateDue {
		text += "; the next request asks Postgres"
	}
	return command.Cell{Text: text, Color: accessColor(c.Access)}
}

func accessColor(a *explain.Access) command.Color {
	if a.State == "valid" {
		return command.Green
	}
	return command.Red
}

func bucketText(b backend.Bucket) string {
	text := fmt.Sprintf("%s, %d left", b.Limit, b.Remaining)
	if b.RetryAfter > 0 {
		text += "; admits again in " + durationText(b.RetryAfter)
	}
	switch b.Source {
	case ratelimit.FromLocal:
		text += "; counted by this edge, as Redis does not answer"
	case ratelimit.FromNone:
		text += "; not limited, as Redis does not answer"
	}
	return text
}
