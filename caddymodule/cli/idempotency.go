package cli

import (
	"context"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"hoko.to/edge/plugin/postgres/admin"
)

func idempotencyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "idempotency", Short: "Cleans up the remembered Idempotency-Keys, and erases a person from their answers"}
	cmd.AddCommand(cleanKeysCommand(), eraseAnswersCommand())
	return cmd
}

func cleanKeysCommand() *cobra.Command {
	cmd := onDatabase(&cobra.Command{
		Use:   "clean [--older-than 8d]",
		Short: "Deletes old Idempotency-Keys; run it daily",
		Long: `Deletes the Idempotency-Keys that are older than some days, with the answers that
are kept beside them. It holds up no sale: it goes through the table in short
transactions (in one before Postgres 14), beside running edges. A request with a
key that was deleted is a new sale, so callers are promised 7 days at least.

It needs the rights of the schema's owner.`,
	}, cleanKeys)
	cmd.Flags().String("older-than", "8d", "how old a key must be, 7d or more")
	return cmd
}

func cleanKeys(ctx context.Context, cmd *cobra.Command, dsn string) error {
	olderThan := text(cmd, "older-than")
	age, err := caddy.ParseDuration(olderThan)
	if err != nil {
		return fmt.Errorf("--older-than must be a duration such as 8d, not %q", olderThan)
	}
	deleted, err := admin.CleanIdempotencyKeys(ctx, dsn, age)
	if err != nil && deleted > 0 {
		return fmt.Errorf("%w (%d keys were deleted before)", err, deleted)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d idempotency keys older than %s are deleted\n", deleted, olderThan)
	return nil
}

func eraseAnswersCommand() *cobra.Command {
	cmd := onDatabase(&cobra.Command{
		Use:   "erase --workspace <id|name> --customer <external id>",
		Short: "Erases a person from the answers that are kept beside Idempotency-Keys",
		Long: `Removes name, e-mail, phone, avatar and metadata from every answer that is kept
beside an Idempotency-Key for sales to one customer. The keys stay, so that a late
retry is not a second sale; it is answered with an empty name and nulls.

Erase the person from your own tables first: a sale that arrives meanwhile is
answered, and remembered, with what stands there. Sales that are just being
recorded are waited for, a minute at most. A customer whom neither the workspace nor
an answer knows is an error. It needs the rights of the schema's owner.`,
	}, eraseAnswers)
	cmd.Flags().String("workspace", "", "id or name of the customer's workspace")
	cmd.Flags().String("customer", "", "the customer's external id, as the sales name it in customerExternalId")
	return cmd
}

func eraseAnswers(ctx context.Context, cmd *cobra.Command, dsn string) error {
	erased, err := admin.EraseAnswers(ctx, dsn, text(cmd, "workspace"), text(cmd, "customer"))
	if err != nil && erased > 0 {
		return fmt.Errorf("%w (the customer is erased from %d answers so far: run it again)", err, erased)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "the customer is erased from %d remembered answers\n", erased)
	return nil
}
