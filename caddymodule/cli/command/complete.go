package command

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hoko.to/edge/plugin/postgres/admin"
)

// completionTimeout bounds how long a shell waits for the database.
const completionTimeout = 2 * time.Second

// MaxCompletions is the maximum number of completions from the database.
const MaxCompletions = 200

// Offer is a completion, and its description.
type Offer struct{ ID, Description string }

// CompleteFrom completes with what offer finds in the database of the flags, at most max values.
// Without a database, or after an error, whose text would stand in the command line, it offers
// nothing.
func CompleteFrom(
	offer func(ctx context.Context, dsn, prefix string, max int) ([]Offer, error),
) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		dsn, err := DSN(cmd)
		if err != nil || dsn == "" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		offered, err := offer(ctx, dsn, prefix, MaxCompletions)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var completions []cobra.Completion
		for _, o := range offered {
			if admin.Printable(o.ID) == o.ID { // shells read one completion a line
				completions = append(completions,
					cobra.CompletionWithDesc(o.ID, strings.TrimSpace(admin.Printable(o.Description))))
			}
		}
		return completions, cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteWorkspace completes an argument or a flag that names a workspace, by its ID. The name is
// the description.
var CompleteWorkspace = CompleteFrom(offerWorkspaces)

func offerWorkspaces(ctx context.Context, dsn, prefix string, max int) (offered []Offer, err error) {
	found, err := admin.CompleteWorkspaces(ctx, dsn, prefix, max)
	for _, w := range found {
		offered = append(offered, Offer{w.ID, w.Name})
	}
	return offered, err
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
