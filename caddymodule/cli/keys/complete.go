package keys

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres/admin"
)

// addWorkspaceFlag adds --workspace.
func addWorkspaceFlag(cmd *cobra.Command, usage string) {
	cmd.Flags().String("workspace", "", usage)
	command.CompleteFlag(cmd, "workspace", command.CompleteWorkspace)
}

// Complete completes the ID of any key.
var Complete = completeKeys(admin.KeyFilter{})

// completeKeys completes the ID of a key that the filter selects.
func completeKeys(filter admin.KeyFilter) cobra.CompletionFunc {
	return command.CompleteFrom(
		func(ctx context.Context, dsn, prefix string, max int) (offered []command.Offer, err error) {
			filter := filter
			filter.IDPrefix, filter.Max = prefix, max
			keys, err := admin.ListKeys(ctx, dsn, filter)
			for _, key := range keys {
				about := []string{key.Start, admin.WorkspaceText(key.WorkspaceID, key.WorkspaceName), key.Name}
				offered = append(offered, command.Offer{ID: key.ID, Description: strings.Join(about, " ")})
			}
			return offered, err
		})
}

// completeScopes completes the last of comma-separated scopes.
func completeScopes(_ *cobra.Command, _ []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	before, last := "", text
	if i := strings.LastIndexByte(text, ','); i >= 0 {
		before, last = text[:i+1], text[i+1:]
	}
	given := strings.Split(before, ",")
	var offered []cobra.Completion
	for _, name := range apikey.ScopeNames() {
		if strings.HasPrefix(name, last) && !slices.Contains(given, name) {
			offered = append(offered, before+name)
		}
	}
	return offered, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// fixed offers one value of a flag.
func fixed(value string) cobra.CompletionFunc {
	return cobra.FixedCompletions([]cobra.Completion{value}, cobra.ShellCompDirectiveNoFileComp)
}
