package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/version"
)

func versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version [--json]",
		Short: "Prints the versions of the edge, Caddy, Go and the schema",
		Long: `Prints which edge this binary is, the versions of Caddy and Go that it was built
with, and the version to which it migrates the schema hoko. A running edge says
the same on GET /hoko/ of its admin endpoint and in the metric hoko_build_info.`,
		Args: cobra.NoArgs,
		RunE: printVersion,
	}
	cmd.Flags().Bool("json", false, "print one JSON object in place of a line")
	return cmd
}

func printVersion(cmd *cobra.Command, _ []string) error {
	if asJSON, _ := cmd.Flags().GetBool("json"); !asJSON {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), version.Read())
		return err
	}
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetIndent("", "  ")
	return encoder.Encode(version.Read())
}
