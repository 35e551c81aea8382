package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/caddymodule/version"
)

func versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version [--json]",
		Short: "Prints the versions of the edge, Caddy, Go and the schema",
		Long: `Prints which edge this binary is, the versions of Caddy and Go that it was built
with, and the version to which it migrates the schema hoko. A running edge says
the same on GET /hoko/ of its admin endpoint and in the metric hoko_build_info.`,
		Example:           "  $ caddy hoko version\n  $ caddy hoko version --json",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              printVersion,
	}
	command.AddJSONFlag(cmd)
	return cmd
}

func printVersion(cmd *cobra.Command, _ []string) error {
	if command.AsJSON(cmd) {
		return command.PrintJSON(cmd, version.Read())
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), version.Read())
	return err
}
