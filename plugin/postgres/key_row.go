package postgres

import (
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/apikey"
)

// keyRow is a row of query/key.sql. Over a site's views anything may be null
// that the owned tables forbid.
type keyRow struct {
	id                string
	workspaceID       string
	scopes            []*string
	hostnames         []*string
	limit             limitColumns
	workspaceLimit    limitColumns
	expiresAt         pgtype.Timestamptz
	revoked           bool
	workspaceDisabled bool
}

// scanKey is a row, and the hash that it answers.
func scanKey(rows pgx.Rows) (hash apikey.Hash, r keyRow, err error) {
	var asked []byte
	err = rows.Scan(
		&asked,
		&r.id, &r.workspaceID,
		&r.scopes, &r.hostnames,
		&r.limit.rate, &r.limit.period, &r.limit.burst,
		&r.workspaceLimit.rate, &r.workspaceLimit.period, &r.workspaceLimit.burst,
		&r.expiresAt,
		&r.revoked,
		&r.workspaceDisabled,
	)
	copy(hash[:], asked)
	return hash, r, err
}

func (r keyRow) key(hash apikey.Hash, logger *slog.Logger) *apikey.Key {
	return &apikey.Key{
		ID:                r.id,
		Hash:              hash,
		WorkspaceID:       r.workspaceID,
		Scopes:            apikey.ScopesOf(texts(r.scopes)),
		AllowedHostnames:  texts(r.hostnames),
		Limit:             r.countingLimit(logger),
		ExpiresAt:         expiry(r.expiresAt),
		Revoked:           r.revoked,
		WorkspaceDisabled: r.workspaceDisabled,
	}
}

// countingLimit is the key's own, else its workspace's default, else zero.
func (r keyRow) countingLimit(logger *slog.Logger) apikey.Limit {
	for _, from := range []struct {
		relation string
		columns  limitColumns
	}{{"hoko.api_keys", r.limit}, {"hoko.workspaces", r.workspaceLimit}} {
		limit, err := from.columns.limit()
		if err != nil {
			logger.Warn("invalid rate limit is passed over", slog.String("relation", from.relation),
				slog.String("key_id", r.id), slog.String("workspace_id", r.workspaceID), slog.Any("error", err))
			continue
		}
		if limit != (apikey.Limit{}) {
			return limit
		}
	}
	return apikey.Limit{}
}

// expiry is zero for a key that does not expire. Anything before 1970 is made
// 1970, so that no instant of the past is mistaken for that zero.
func expiry(at pgtype.Timestamptz) time.Time {
	epoch := time.Unix(0, 0).UTC()
	switch {
	case !at.Valid || at.InfinityModifier == pgtype.Infinity:
		return time.Time{}
	case at.InfinityModifier == pgtype.NegativeInfinity || at.Time.Before(epoch):
		return epoch
	}
	return at.Time.UTC()
}

// texts makes the empty string of a null element, which neither is a scope nor
// matches a host. It drops none: a list of hosts that became empty would allow
// any.
func texts(elements []*string) []string {
	if len(elements) == 0 {
		return nil
	}
	values := make([]string, len(elements))
	for i, element := range elements {
		if element != nil {
			values[i] = *element
		}
	}
	return values
}
