package command

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"hoko.to/edge/plugin/postgres/admin"
)

const (
	// completionTimeout bounds how long a shell waits for the database.
	completionTimeout = 3 * time.Second
	maxCompletions    = 200
)

// CompleteWorkspace completes an argument or a flag that names a workspace, by its ID. The name is
// the description. Without a database there are no completions.
func CompleteWorkspace(cmd *cobra.Command, _ []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	dsn, err := DSN(cmd)
	if err != nil || dsn == "" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	found, err := admin.CompleteWorkspaces(ctx, dsn, prefix, maxCompletions)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var completions []cobra.Completion
	for _, w := range found {
		if admin.Printable(w.ID) == w.ID {
			completions = append(completions, cobra.CompletionWithDesc(w.ID, admin.Printable(w.Name)))
		}
	}
	return completions, cobra.ShellCompDirectiveNoFileComp
}

// CompleteFlag sets the completions of a flag, which must exist.
func CompleteFlag(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err)
	}
}

// First completes only the first argument with complete.
func First(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, prefix)
	}
}
