package keys

import (
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
)

// row is a row of query/key.sql. A site's views may contain nulls that the edge's tables forbid.
type row struct {
	id                string
	workspaceID       string
	scopes            []*string
	hostnames         []*string
	limit             postgres.LimitColumns
	workspaceLimit    postgres.LimitColumns
	expiresAt         pgtype.Timestamptz
	revoked           bool
	workspaceDisabled bool
}

// scanRow scans a row and the hash that it was found by.
func scanRow(rows pgx.Rows) (hash apikey.Hash, r row, err error) {
	var scanned []byte
	err = rows.Scan(
		&scanned,
		&r.id, &r.workspaceID,
		&r.scopes, &r.hostnames,
		&r.limit.Rate, &r.limit.Period, &r.limit.Burst,
		&r.workspaceLimit.Rate, &r.workspaceLimit.Period, &r.workspaceLimit.Burst,
		&r.expiresAt,
		&r.revoked,
		&r.workspaceDisabled,
	)
	copy(hash[:], scanned)
	return hash, r, err
}

func (r row) key(hash apikey.Hash, logger *slog.Logger) *apikey.Key {
	return &apikey.Key{
		ID:                r.id,
		Hash:              hash,
		WorkspaceID:       r.workspaceID,
		Scopes:            apikey.ScopesOf(postgres.Texts(r.scopes)),
		AllowedHostnames:  postgres.Texts(r.hostnames),
		Limit:             r.effectiveLimit(logger),
		ExpiresAt:         postgres.Time(r.expiresAt),
		Revoked:           r.revoked,
		WorkspaceDisabled: r.workspaceDisabled,
	}
}

// effectiveLimit returns the key's limit if it is valid, or else its workspace's, or else zero.
func (r row) effectiveLimit(logger *slog.Logger) limit.Limit {
	for _, from := range []struct {
		relation string
		columns  postgres.LimitColumns
	}{{"hoko.api_keys", r.limit}, {"hoko.workspaces", r.workspaceLimit}} {
		l, err := from.columns.Limit()
		if err != nil {
			logger.Warn("ignoring invalid rate limit", slog.String("relation", from.relation),
				slog.String("key_id", r.id), slog.String("workspace_id", r.workspaceID), slog.Any("error", err))
			continue
		}
		if l != (limit.Limit{}) {
			return l
		}
	}
	return limit.Limit{}
}
