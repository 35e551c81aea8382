// Package keys provides the `caddy hoko keys` commands.
package keys

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres/admin"
)

// RevokeExample is the command for a leaked key.
const RevokeExample = `  A key has leaked? Revoke it. The DATABASE_URL of an edge is enough:

  $ caddy hoko keys revoke -     (then paste the key)
  $ caddy hoko keys revoke hoko_Ab12`

// Command returns the command `keys`.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Creates, lists, changes, rotates, revokes and imports API keys",
		Long: `Creates, lists, changes, rotates, revokes and imports API keys.

` + command.KeyHelp + `

list, show and revoke work with the edge's role (docs/role.sql); the others need the
owner of the schema hoko.`,
		Example: RevokeExample,
	}
	cmd.AddCommand(createCommand(), listCommand(), showCommand(), updateCommand(), rotateCommand(), revokeCommand(),
		unrevokeCommand(), importCommand())
	return cmd
}

// keyFunc runs a command on the key that which selects, and returns the key.
type keyFunc func(ctx context.Context, cmd *cobra.Command, dsn, which string) (admin.KeyInfo, error)

// withKey makes cmd call run with the key that its argument names. Completions offer the IDs of the
// keys that the filter selects.
func withKey(cmd *cobra.Command, offered admin.KeyFilter, run keyFunc) *cobra.Command {
	cmd.Args = oneKey
	cmd.ValidArgsFunction = command.First(completeKeys(offered))
	command.WithDatabase(cmd, func(ctx context.Context, cmd *cobra.Command, dsn string) error {
		which, err := command.Key(cmd)
		if err != nil {
			return err
		}
		key, err := run(ctx, cmd, dsn, which)
		if err == nil && cmd.Flags().Arg(0) != "-" && isWhole(which, key) {
			fmt.Fprintln(cmd.ErrOrStderr(), "That was the whole key, which now is in the history of your shell. "+
				"Next time, give - and paste the key.")
		}
		return err
	})
	command.AddJSONFlag(cmd)
	return cmd
}

func oneKey(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	const want = "give one key: its id or first characters, or - to paste the whole key (%s --help)"
	return fmt.Errorf(want, cmd.CommandPath())
}

// isWhole reports whether which selects key because it is the whole key.
func isWhole(which string, key admin.KeyInfo) bool {
	hash, err := hex.DecodeString(which)
	return which != key.ID && which != key.Start && (err != nil || len(hash) != len(apikey.Hash{}))
}
