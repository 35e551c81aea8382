package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres/admin"
)

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Creates, lists and revokes API keys"}
	cmd.AddCommand(createKeyCommand(), listKeysCommand(), revokeKeyCommand())
	return cmd
}

func createKeyCommand() *cobra.Command {
	cmd := command.WithDatabase(&cobra.Command{
		Use:   "create --workspace <id|name> --scopes <scope,...> [flags]",
		Short: "Creates an API key and prints it, once",
		Long: `Creates an API key and prints it to standard output. It cannot be shown again: only
its SHA-256 and its first characters are stored.

Scopes: ` + strings.Join(apikey.ScopeNames(), ", ") + `.`,
	}, createKey)
	flags := cmd.Flags()
	flags.String("workspace", "", "id or name of the workspace that the key belongs to")
	flags.Bool("create-workspace", false, "create a workspace with that name if there is none")
	flags.String("name", "", "display name of the key")
	flags.StringSlice("scopes", nil, "scopes of the key, e.g. conversionsWrite,linksRead")
	flags.StringSlice("hostnames", nil,
		"hosts whose pages may use the key in browsers, e.g. example.com,*.example.com; at most 1000 (default: any)")
	flags.String("limit", "", "rate limit of the key, e.g. 600/1m (default: its workspace's, or else the route's)")
	flags.Int("burst", 0, "requests that a full bucket admits (default: the rate of the limit)")
	flags.String("expires", "", "expiry: a time such as 2030-01-31T00:00:00Z or a duration such as 90d (default: none)")
	return cmd
}

func createKey(ctx context.Context, cmd *cobra.Command, dsn string) error {
	wanted, err := newKey(cmd, time.Now())
	if err != nil {
		return err
	}
	created, err := admin.CreateKey(ctx, dsn, wanted)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "created key %s of workspace %s; it starts with %s and is not shown again:\n",
		admin.Printable(created.ID), admin.Printable(created.WorkspaceID), created.Start)
	fmt.Fprintln(cmd.OutOrStdout(), created.Key)
	return nil
}

// newKey returns the key that the flags describe.
func newKey(cmd *cobra.Command, now time.Time) (wanted admin.NewKey, err error) {
	flags := cmd.Flags()
	wanted.Workspace, wanted.Name = command.Flag(cmd, "workspace"), command.Flag(cmd, "name")
	wanted.CreateWorkspace, _ = flags.GetBool("create-workspace")
	wanted.Scopes, _ = flags.GetStringSlice("scopes")
	wanted.Hostnames, _ = flags.GetStringSlice("hostnames")
	burst, _ := flags.GetInt("burst")
	if wanted.Limit, err = keyLimit(command.Flag(cmd, "limit"), burst); err != nil {
		return wanted, err
	}
	wanted.ExpiresAt, err = expiry(command.Flag(cmd, "expires"), now)
	return wanted, err
}

func keyLimit(text string, burst int) (l limit.Limit, err error) {
	if text == "" {
		if burst != 0 {
			return l, errors.New("--burst needs a --limit")
		}
		return l, nil
	}
	if l, err = limit.Parse(text); err != nil {
		return l, err
	}
	l.Burst = cmp.Or(burst, l.Burst)
	return l, l.Validate()
}

// expiry parses a time, or a duration from now. It returns the zero time for an empty text.
func expiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if lifetime, err := caddy.ParseDuration(text); err == nil {
		return now.Add(lifetime), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("--expires must be a time such as 2030-01-31T00:00:00Z "+
			"or a duration such as 90d, not %q", text)
	}
	return at, nil
}

func listKeysCommand() *cobra.Command {
	cmd := command.WithDatabase(&cobra.Command{
		Use:   "list [--workspace <id|name>]",
		Short: "Lists API keys, newest first, including revoked ones",
	}, listKeys)
	cmd.Flags().String("workspace", "", "id or name of a workspace (default: all)")
	return cmd
}

func listKeys(ctx context.Context, cmd *cobra.Command, dsn string) error {
	keys, err := admin.ListKeys(ctx, dsn, command.Flag(cmd, "workspace"))
	if err != nil {
		return err
	}
	return printKeys(cmd.OutOrStdout(), keys, time.Now())
}

func printKeys(w io.Writer, keys []admin.KeyInfo, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSTARTS\tWORKSPACE\tNAME\tSTATE\tLIMIT\tSCOPES\tHOSTNAMES")
	for _, key := range keys {
		cells := []string{
			key.ID, key.Start, admin.WorkspaceText(key.WorkspaceID, key.WorkspaceName), cmp.Or(key.Name, "-"),
			keyState(key, now), limitText(key.Limit),
			cmp.Or(strings.Join(key.Scopes, ","), "-"), cmp.Or(strings.Join(key.Hostnames, ","), "-"),
		}
		for i := range cells {
			cells[i] = admin.Printable(cells[i])
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	return table.Flush()
}

func keyState(key admin.KeyInfo, now time.Time) string {
	switch {
	case !key.RevokedAt.IsZero():
		return "revoked " + key.RevokedAt.UTC().Format(time.RFC3339)
	case !key.ExpiresAt.IsZero() && !key.ExpiresAt.After(now):
		return "expired " + key.ExpiresAt.UTC().Format(time.RFC3339)
	case key.WorkspaceDisabled:
		return "workspace disabled"
	case key.ExpiresAt.IsZero():
		return "valid"
	default:
		return "valid until " + key.ExpiresAt.UTC().Format(time.RFC3339)
	}
}

func limitText(limit limit.Limit) string {
	switch limit.Burst {
	case 0:
		return "-"
	case limit.Rate:
		return fmt.Sprintf("%d/%s", limit.Rate, limit.Period)
	default:
		return fmt.Sprintf("%d/%s burst %d", limit.Rate, limit.Period, limit.Burst)
	}
}

func revokeKeyCommand() *cobra.Command {
	return command.WithDatabase(&cobra.Command{
		Use:   "revoke <key>",
		Short: "Revokes an API key; edges reject it within a second",
		Long: `Revokes one API key. The argument is its id, its first characters as caddy hoko
keys list shows them, the whole key, or its SHA-256 in hex.`,
		Args: cobra.ExactArgs(1),
	}, revokeKey)
}

func revokeKey(ctx context.Context, cmd *cobra.Command, dsn string) error {
	revoked, err := admin.RevokeKey(ctx, dsn, cmd.Flags().Arg(0))
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "key %s (%s) of workspace %s was revoked at %s\n",
		admin.Printable(revoked.ID), admin.Printable(revoked.Start),
		admin.WorkspaceText(revoked.WorkspaceID, revoked.WorkspaceName), revoked.RevokedAt.UTC().Format(time.RFC3339))
	return nil
}
