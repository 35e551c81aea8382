package doctor

import (
	"context"
	"fmt"
	"time"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/inspect"
	"hoko.to/edge/plugin/postgres/keys"
)

// maxCleanUpAge is how long ago the daily clean-up may have been.
const maxCleanUpAge = 48 * time.Hour

// cleanUp checks that the owner deletes old idempotency keys, and that the edge can tell.
func (c *checks) cleanUp(ctx context.Context, db *inspect.Database) error {
	const about, fix = "clean-up", "run caddy hoko idempotency clean daily, as the owner of the schema"
	store, err := keys.NewStore(postgres.Options{DSN: c.DSN})
	if err != nil {
		return err
	}
	defer store.Close()
	last, err := store.LastCleanUp(ctx)
	if err != nil {
		c.warn("schema", "the metric hoko_idempotency_cleanup_timestamp_seconds is not updated: "+err.Error(), grantFix)
		return nil
	}
	if age := time.Since(last); !last.IsZero() {
		if age > maxCleanUpAge {
			c.warn(about, fmt.Sprintf("idempotency keys were last cleaned up %d days ago: their table grows",
				age/(24*time.Hour)), fix)
		} else {
			c.ok(about, "idempotency keys were cleaned up at %s", last.UTC().Format(time.RFC3339))
		}
		return nil
	}
	sample, err := db.IdempotencyKeys(ctx)
	if err != nil {
		return err
	}
	if sample.Old > 0 {
		c.warn(about, fmt.Sprintf("idempotency keys were never cleaned up: of the first %d, %d are older than 8 days",
			sample.Rows, sample.Old), fix)
		return nil
	}
	c.ok(about, "idempotency keys were never cleaned up, and none of those read is older than 8 days")
	return nil
}

// rights checks the role's rights that only the commands and the last use of keys depend on.
func (c *checks) rights(ctx context.Context, db *inspect.Database) error {
	rights, err := db.Rights(ctx)
	if err != nil {
		return err
	}
	if rights.KeyUsage {
		c.ok("key-usage", "the role can write when keys were last used")
	} else {
		c.warn("key-usage", "the role cannot write hoko.key_usage: nothing shows when keys were last used", grantFix)
	}
	if rights.RevokeKey {
		c.ok("revocation", "the role can revoke keys: caddy hoko keys revoke")
	} else {
		c.warn("revocation", "the role may not run hoko.revoke_key: only the owner can revoke a leaked key", grantFix)
	}
	return nil
}
