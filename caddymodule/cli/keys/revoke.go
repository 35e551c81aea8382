package keys

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/postgres/admin"
)

func revokeCommand() *cobra.Command {
	return withKey(&cobra.Command{
		Use:   "revoke <key>",
		Short: "Revokes an API key, e.g. one that has leaked; edges reject it within a second",
		Long: `Revokes one API key. Edges reject it within a second; requests that were admitted
before are not ended. The edge's role may revoke keys, so the DATABASE_URL of an edge is
enough. A key that is revoked already keeps its time.

` + command.KeyHelp,
		Example: RevokeExample,
	}, admin.KeyFilter{}, revokeKey)
}

func revokeKey(ctx context.Context, cmd *cobra.Command, dsn, which string) (admin.KeyInfo, error) {
	key, err := admin.RevokeKey(ctx, dsn, which)
	if err != nil {
		return key, err
	}
	if command.AsJSON(cmd) {
		return key, printKey(cmd, key)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "key %s (%s) of workspace %s was revoked at %s\n", admin.Printable(key.ID),
		admin.Printable(key.Start), admin.WorkspaceText(key.WorkspaceID, key.WorkspaceName),
		command.TimeText(key.RevokedAt))
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), `Edges reject it within a second. To replace it, as the owner of the schema:
  caddy hoko keys create%s
`, replacementFlags(key))
	return key, err
}

// replacementFlags returns the flags of keys create for a key with the same rights.
func replacementFlags(key admin.KeyInfo) string {
	k := newKeyJSON(key, time.Now())
	var flags strings.Builder
	add := func(flag, value string) {
		fmt.Fprintf(&flags, " --%s %s", flag, command.ShellQuote(admin.Printable(value)))
	}
	add("workspace", key.WorkspaceID)
	add("scopes", strings.Join(key.Scopes, ","))
	if len(key.Hostnames) > 0 {
		add("hostnames", strings.Join(key.Hostnames, ","))
	}
	if k.Limit != nil {
		add("limit", *k.Limit)
		add("burst", strconv.Itoa(*k.Burst))
	}
	if k.ExpiresAt != nil && k.ExpiresAt.After(time.Now()) {
		add("expires", command.TimeText(*k.ExpiresAt))
	}
	return flags.String()
}

func unrevokeCommand() *cobra.Command {
	return withKey(&cobra.Command{
		Use:   "unrevoke <key>",
		Short: "Makes a revoked API key valid again",
		Long: `Makes a key valid again that was revoked by mistake, unless it is expired. It fails if
the key is not revoked. Do not restore a key that has leaked.

` + command.KeyHelp,
		Example: `  $ caddy hoko keys unrevoke hoko_Ab12`,
	}, admin.KeyFilter{Revoked: true}, unrevokeKey)
}

func unrevokeKey(ctx context.Context, cmd *cobra.Command, dsn, which string) (admin.KeyInfo, error) {
	key, err := admin.UnrevokeKey(ctx, dsn, which)
	if err != nil {
		return key, err
	}
	return key, printKey(cmd, key)
}
