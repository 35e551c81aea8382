package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/postgres/admin"
)

func idempotencyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "idempotency", Short: "Deletes old Idempotency-Keys, and erases personal data"}
	cmd.AddCommand(cleanKeysCommand(), eraseAnswersCommand())
	return cmd
}

// printCount prints a count as text, or as the member of a JSON object.
func printCount(cmd *cobra.Command, member string, n int64, format string, args ...any) error {
	if command.AsJSON(cmd) {
		return command.PrintJSON(cmd, map[string]int64{member: n})
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), format, append([]any{n}, args...)...)
	return err
}

func cleanKeysCommand() *cobra.Command {
	cmd := command.WithDatabase(&cobra.Command{
		Use:   "clean [--older-than 8d]",
		Short: "Deletes old Idempotency-Keys; run it daily",
		Long: `Deletes the Idempotency-Keys that are older than --older-than, with their stored
answers. Edges can keep running: it deletes in short transactions (in one before
Postgres 14) and delays no sale. A request with a deleted key records a new sale;
the API promises callers at least 7 days. When it is done, it records the time for
the edges' metric hoko_idempotency_cleanup_timestamp_seconds.

It needs the rights of the schema's owner.`,
		Example: "  $ caddy hoko idempotency clean\n  $ caddy hoko idempotency clean --older-than 30d --json",
	}, cleanKeys)
	command.AddJSONFlag(cmd)
	cmd.Flags().String("older-than", "8d", "delete keys that are older than this, at least 7d")
	return cmd
}

func cleanKeys(ctx context.Context, cmd *cobra.Command, dsn string) error {
	olderThan := command.Flag(cmd, "older-than")
	age, err := caddy.ParseDuration(olderThan)
	if err != nil {
		return fmt.Errorf("--older-than must be a duration such as 8d, not %q", olderThan)
	}
	deleted, err := admin.CleanIdempotencyKeys(ctx, dsn, age)
	complete := err == nil || errors.Is(err, admin.ErrNotRecorded)
	if !complete && deleted > 0 {
		return fmt.Errorf("%w (%d keys were deleted before this error)", err, deleted)
	}
	if complete {
		const text = "deleted %d idempotency keys older than %s\n"
		err = errors.Join(err, printCount(cmd, "deleted", deleted, text, olderThan))
	}
	return err
}

func eraseAnswersCommand() *cobra.Command {
	cmd := command.WithDatabase(&cobra.Command{
		Use:   "erase --workspace <id|name> --customer <external id>",
		Short: "Erases a customer's personal data from the stored answers",
		Long: `Removes name, e-mail, phone, avatar and metadata from every answer that is stored
with an Idempotency-Key for sales to one customer. The keys stay, so that a late
retry does not record a second sale; its answer has an empty name and nulls.

Erase the person from your own tables first, because answers to later sales contain
what is stored there. The command waits up to a minute for sales that are being
recorded. It fails if neither the workspace nor an answer has the customer. It needs
the rights of the schema's owner.`,
		Example: "  $ caddy hoko idempotency erase --workspace Acme --customer customer_123",
	}, eraseAnswers)
	cmd.Flags().String("workspace", "", "id or name of the customer's workspace")
	cmd.Flags().String("customer", "", "the customer's external id: the customerExternalId of the sales")
	command.AddJSONFlag(cmd)
	command.CompleteFlag(cmd, "workspace", command.CompleteWorkspace)
	return cmd
}

func eraseAnswers(ctx context.Context, cmd *cobra.Command, dsn string) error {
	erased, err := admin.EraseAnswers(ctx, dsn, command.Flag(cmd, "workspace"), command.Flag(cmd, "customer"))
	if err != nil && erased > 0 {
		return fmt.Errorf("%w (the customer was erased from %d answers before this error; run it again)", err, erased)
	}
	if err != nil {
		return err
	}
	return printCount(cmd, "erased", erased, "erased the customer from %d stored answers\n")
}
