package keys

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres/admin"
)

const (
	completionTimeout = 2 * time.Second
	maxCompletions    = 200
)

// addWorkspaceFlag adds --workspace.
func addWorkspaceFlag(cmd *cobra.Command, usage string) {
	cmd.Flags().String("workspace", "", usage)
	command.CompleteFlag(cmd, "workspace", command.CompleteWorkspace)
}

// completeKeys offers the IDs of the keys that the filter selects, in the database of the flags. It
// offers nothing after an error, because its text would stand in the command line.
func completeKeys(filter admin.KeyFilter) cobra.CompletionFunc {
	filter.Max = maxCompletions
	return func(cmd *cobra.Command, _ []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		dsn, err := command.DSN(cmd)
		if err != nil || dsn == "" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		filter := filter
		filter.IDPrefix = prefix
		keys, err := admin.ListKeys(ctx, dsn, filter)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var offered []cobra.Completion
		for _, key := range keys {
			if admin.Printable(key.ID) != key.ID { // shells read one completion a line
				continue
			}
			about := []string{key.Start, admin.WorkspaceText(key.WorkspaceID, key.WorkspaceName), key.Name}
			offered = append(offered,
				cobra.CompletionWithDesc(key.ID, strings.TrimSpace(admin.Printable(strings.Join(about, " ")))))
		}
		return offered, cobra.ShellCompDirectiveNoFileComp
	}
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
