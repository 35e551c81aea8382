package keys

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres/admin"
)

func createCommand() *cobra.Command {
	cmd := command.WithDatabase(&cobra.Command{
		Use:   "create --workspace <id|name> --scopes <scope,...> [flags]",
		Short: "Creates an API key and prints it, once",
		Long: `Creates an API key and prints it to standard output. It cannot be shown again: only
its SHA-256 and its first characters are stored.

Scopes: ` + strings.Join(apikey.ScopeNames(), ", ") + `.`,
		Example: `  $ caddy hoko keys create --workspace acme --name billing --scopes conversionsWrite \
      --limit 600/1m --expires 90d`,
	}, createKey)
	addWorkspaceFlag(cmd, "id or name of the workspace that the key belongs to")
	cmd.Flags().Bool("create-workspace", false, "create a workspace with that name if there is none")
	cmd.Flags().String("name", "", "display name of the key")
	addSettingFlags(cmd)
	command.AddJSONFlag(cmd)
	return cmd
}

func createKey(ctx context.Context, cmd *cobra.Command, dsn string) error {
	wanted, burst, err := newKey(cmd, time.Now())
	if err != nil {
		return err
	}
	if burst != 0 && wanted.Limit == (limit.Limit{}) {
		return errors.New("--burst needs a --limit")
	}
	wanted.CreateWorkspace, _ = cmd.Flags().GetBool("create-workspace")
	created, err := admin.CreateKey(ctx, dsn, wanted)
	if err != nil {
		return err
	}
	if command.AsJSON(cmd) {
		return command.PrintJSON(cmd, newCreatedJSON(created))
	}
	return printCreated(cmd, created)
}

// printCreated prints a new key to standard output, and about it to standard error.
func printCreated(cmd *cobra.Command, created admin.CreatedKey) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "created key %s of workspace %s; it starts with %s and is not shown again:\n",
		admin.Printable(created.ID), admin.Printable(created.WorkspaceID), created.Start)
	_, err := fmt.Fprintln(cmd.OutOrStdout(), created.Key)
	return err
}

// newKey returns the key that the flags describe. It also returns --burst, which the limit
// has already.
func newKey(cmd *cobra.Command, now time.Time) (wanted admin.NewKey, burst int, err error) {
	wanted.Workspace, wanted.Name = command.Flag(cmd, "workspace"), command.Flag(cmd, "name")
	wanted.Scopes, _ = cmd.Flags().GetStringSlice("scopes")
	if wanted.Hostnames, err = hostnamesOf(cmd); err != nil {
		return wanted, 0, err
	}
	own, burst, err := command.Limit(cmd)
	if err != nil {
		return wanted, 0, err
	}
	if own != nil {
		wanted.Limit = *own
	}
	if wanted.ExpiresAt, err = parseExpiry(command.Flag(cmd, "expires"), now); err != nil {
		return wanted, 0, fmt.Errorf("--%w", err)
	}
	return wanted, burst, nil
}

// createdJSON is a new key as --json prints it.
type createdJSON struct {
	ID          string `json:"id"`
	WorkspaceID string `json:"workspace_id"`
	Start       string `json:"start"`
	Key         string `json:"key"`
}

func newCreatedJSON(k admin.CreatedKey) createdJSON {
	return createdJSON{k.ID, k.WorkspaceID, k.Start, k.Key}
}
