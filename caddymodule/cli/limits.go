package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/caddymodule/cli/keys"
	"hoko.to/edge/caddymodule/explain"
	"hoko.to/edge/plugin/postgres/admin"
)

// limitsTimeout bounds how long an edge may take to answer: it waits for Postgres and Redis.
const limitsTimeout = 10 * time.Second

func limitsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "limits", Short: "Shows and resets the rate limits of a key"}
	cmd.AddCommand(
		limitCommand("show", "Shows how many requests a key may still send, and when it may again",
			http.MethodGet, "/hoko/limits"),
		limitCommand("reset", "Makes the buckets of a key full; other edges may deny it for another second",
			http.MethodPost, "/hoko/limits/reset"),
	)
	return cmd
}

func limitCommand(name, short, method, path string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name + " <key> [--address <admin> | --config <file> [--adapter <name>]] [--json]",
		Short: short,
		Long: short + `.

It asks a running edge about each redis_rate_limit of its configuration.

` + command.KeyHelp + `
The edge gets only the SHA-256 of a whole key.`,
		Example: "  $ caddy hoko limits " + name + " hoko_Ab12\n" +
			"  $ caddy hoko limits " + name + " - < key.txt",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: command.First(keys.Complete),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), limitsTimeout)
			defer cancel()
			which, err := command.Key(cmd)
			if err != nil {
				return err
			}
			answer, err := command.AskKey(ctx, cmd, method, path, which)
			if err != nil {
				return err
			}
			return printLimits(cmd, answer)
		},
	}
	command.AddAdminFlags(cmd)
	command.AddJSONFlag(cmd)
	return cmd
}

func printLimits(cmd *cobra.Command, answer []byte) error {
	if command.AsJSON(cmd) {
		return command.PrintJSON(cmd, json.RawMessage(answer))
	}
	var key explain.Limits
	if err := json.Unmarshal(answer, &key); err != nil {
		return fmt.Errorf("read the edge's answer: %w", err)
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "key %s\n", admin.Printable(key.KeyID))
	rows := [][]command.Cell{{{Text: "NAME"}, {Text: "LIMIT"}, {Text: "REMAINING"}, {Text: "FULL IN"},
		{Text: "ADMITS AGAIN IN"}, {Text: "DECIDED BY"}}}
	for _, b := range key.Limits {
		again := command.Cell{Text: "now", Color: command.Green}
		if b.RetryAfter > 0 {
			again = command.Cell{Text: roundedUp(b.RetryAfter), Color: command.Red}
		}
		rows = append(rows, []command.Cell{{Text: admin.Printable(b.Name)}, {Text: b.Limit},
			{Text: strconv.Itoa(b.Remaining)}, {Text: roundedUp(b.ResetAfter)}, again, {Text: string(b.Source)}})
	}
	return command.WriteTable(out, rows)
}

// roundedUp formats seconds, rounded up to a whole one.
func roundedUp(seconds float64) string {
	return (time.Duration(math.Ceil(seconds)) * time.Second).String()
}
