package keys

import (
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
)

// row is a row of query/key.sql. Over a site's views anything may be null
// that the owned tables forbid.
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

// scanKey is a row, and the hash that it answers.
func scanKey(rows pgx.Rows) (hash apikey.Hash, r row, err error) {
	var asked []byte
	err = rows.Scan(
		&asked,
		&r.id, &r.workspaceID,
		&r.scopes, &r.hostnames,
		&r.limit.Rate, &r.limit.Period, &r.limit.Burst,
		&r.workspaceLimit.Rate, &r.workspaceLimit.Period, &r.workspaceLimit.Burst,
		&r.expiresAt,
		&r.revoked,
		&r.workspaceDisabled,
	)
	copy(hash[:], asked)
	return hash, r, err
}

func (r row) key(hash apikey.Hash, logger *slog.Logger) *apikey.Key {
	return &apikey.Key{
		ID:                r.id,
		Hash:              hash,
		WorkspaceID:       r.workspaceID,
		Scopes:            apikey.ScopesOf(postgres.Texts(r.scopes)),
		AllowedHostnames:  postgres.Texts(r.hostnames),
		Limit:             r.countingLimit(logger),
		ExpiresAt:         postgres.Time(r.expiresAt),
		Revoked:           r.revoked,
		WorkspaceDisabled: r.workspaceDisabled,
	}
}

// countingLimit is the key's own, else its workspace's default, else zero.
func (r row) countingLimit(logger *slog.Logger) limit.Limit {
	for _, from := range []struct {
		relation string
		columns  postgres.LimitColumns
	}{{"hoko.api_keys", r.limit}, {"hoko.workspaces", r.workspaceLimit}} {
		l, err := from.columns.Limit()
		if err != nil {
			logger.Warn("invalid rate limit is passed over", slog.String("relation", from.relation),
				slog.String("key_id", r.id), slog.String("workspace_id", r.workspaceID), slog.Any("error", err))
			continue
		}
		if l != (limit.Limit{}) {
			return l
		}
	}
	return limit.Limit{}
}
