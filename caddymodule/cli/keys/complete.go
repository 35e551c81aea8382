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

// complete sets the completions of a flag.
func complete(cmd *cobra.Command, flag string, offer cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, offer); err != nil {
		panic(err) // there is no such flag
	}
}

// addWorkspaceFlag adds --workspace.
func addWorkspaceFlag(cmd *cobra.Command, usage string) {
	cmd.Flags().String("workspace", "", usage)
	complete(cmd, "workspace", fromDatabase(completeWorkspaces))
}

// completeKeys offers the IDs of the keys that the filter selects, for the first argument.
func completeKeys(filter admin.KeyFilter) cobra.CompletionFunc {
	filter.Max = maxCompletions
	offer := fromDatabase(func(ctx context.Context, dsn, prefix string) (offered []cobra.Completion, err error) {
		filter := filter
		filter.IDPrefix = prefix
		keys, err := admin.ListKeys(ctx, dsn, filter)
		for _, key := range keys {
			about := []string{key.Start, admin.WorkspaceText(key.WorkspaceID, key.WorkspaceName), key.Name}
			offered = append(offered, completion(key.ID, strings.Join(about, " ")))
		}
		return offered, err
	})
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return offer(cmd, args, prefix)
	}
}

func completeWorkspaces(ctx context.Context, dsn, prefix string) (offered []cobra.Completion, err error) {
	workspaces, err := admin.CompleteWorkspaces(ctx, dsn, prefix, maxCompletions)
	for _, w := range workspaces {
		offered = append(offered, completion(w.ID, w.Name))
	}
	return offered, err
}

// completion returns text with a description. Shells read one completion a line.
func completion(text, about string) cobra.Completion {
	return cobra.CompletionWithDesc(admin.Printable(text), admin.Printable(strings.TrimSpace(about)))
}

// fromDatabase offers what query finds in the database of the flags. It offers nothing after an
// error, because its text would stand in the command line.
func fromDatabase(
	query func(ctx context.Context, dsn, prefix string) ([]cobra.Completion, error),
) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
		defer cancel()
		dsn, err := command.DSN(cmd)
		if err != nil || dsn == "" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		offered, err := query(ctx, dsn, prefix)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
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
