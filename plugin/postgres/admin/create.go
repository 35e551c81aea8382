package admin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
)

// MaxHostnames bounds the host names of one key: edges read all of them each time they verify it.
const MaxHostnames = 1000

// NewKey is what CreateKey is asked for.
type NewKey struct {
	// Workspace is the id of the workspace, or its name.
	Workspace string
	// CreateWorkspace makes a workspace of that name where there is none.
	CreateWorkspace bool
	// Name is for people. It may be empty.
	Name string
	// Scopes of apikey.ScopeNames, at least one.
	Scopes []string
	// Hostnames from whose pages browsers may use the key, such as example.com
	// or *.example.com, at most MaxHostnames. Empty allows any.
	Hostnames []string
	// Limit overrides the route's; zero does not. A zero Period is a minute, a
	// zero Burst equals the Rate.
	Limit limit.Limit
	// ExpiresAt is zero for a key that does not expire.
	ExpiresAt time.Time
}

// CreatedKey is the one place where the whole key is ever seen.
type CreatedKey struct {
	Key         string
	ID          string
	WorkspaceID string
	Start       string // the first characters, by which people and RevokeKey know it
}

// CreateKey makes a key and stores its SHA-256 and first characters.
func CreateKey(ctx context.Context, dsn string, wanted NewKey) (CreatedKey, error) {
	wanted, err := wanted.normal()
	if err != nil {
		return CreatedKey{}, err
	}
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return CreatedKey{}, err
	}
	defer postgres.CloseConn(conn)
	var created CreatedKey
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		created, err = createKey(ctx, tx, wanted)
		return err
	})
	if err != nil {
		return CreatedKey{}, err
	}
	return created, nil
}

func createKey(ctx context.Context, tx pgx.Tx, wanted NewKey) (CreatedKey, error) {
	workspaceID, err := findWorkspace(ctx, tx, wanted.Workspace)
	switch {
	case !errors.Is(err, errUnknownWorkspace):
	case wanted.CreateWorkspace:
		workspaceID, err = createWorkspace(ctx, tx, wanted.Workspace)
	default:
		err = fmt.Errorf("%w (--create-workspace makes it)", err)
	}
	if err != nil {
		return CreatedKey{}, err
	}
	key := GenerateKey()
	created := CreatedKey{Key: key, WorkspaceID: workspaceID, Start: key[:keyStartChars]}
	hash := sha256.Sum256([]byte(key))
	rate, period, burst := limitParameters(wanted.Limit)
	const insert = `
INSERT INTO hoko.api_keys (workspace_id, name, key_hash, key_start, scopes, allowed_hostnames, rate_limit, rate_period, rate_burst, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
RETURNING id`
	err = tx.QueryRow(ctx, insert, workspaceID, wanted.Name, hash[:], created.Start, orEmpty(wanted.Scopes), orEmpty(wanted.Hostnames),
		rate, period, burst, pgtype.Timestamptz{Time: wanted.ExpiresAt, Valid: !wanted.ExpiresAt.IsZero()}).Scan(&created.ID)
	if err != nil {
		return CreatedKey{}, fmt.Errorf("store key: %w", postgres.SchemaError(err))
	}
	return created, nil
}

// normal fills defaults in, and refuses what the edge would not honour.
func (k NewKey) normal() (NewKey, error) {
	if k.Workspace == "" {
		return k, errors.New("a key belongs to a workspace: name one")
	}
	if len(k.Scopes) == 0 {
		return k, fmt.Errorf("a key without scopes opens nothing: name some of %s", strings.Join(apikey.ScopeNames(), ", "))
	}
	for _, scope := range k.Scopes {
		if _, ok := apikey.ParseScope(scope); !ok {
			return k, fmt.Errorf("unknown scope %q: it must be one of %s", scope, strings.Join(apikey.ScopeNames(), ", "))
		}
	}
	if len(k.Hostnames) > MaxHostnames {
		return k, fmt.Errorf("a key may name at most %d host names, not %d: allow *.example.com for all below example.com, or any", MaxHostnames, len(k.Hostnames))
	}
	for _, hostname := range k.Hostnames {
		if name := strings.TrimPrefix(hostname, "*."); name == "" || strings.ContainsAny(name, "*/\\@?#, \t\r\n") {
			return k, fmt.Errorf("hostname %q must be a host's name, such as example.com or *.example.com", hostname)
		}
	}
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(time.Now()) {
		return k, fmt.Errorf("the key would have expired already, at %s", k.ExpiresAt.Format(time.RFC3339))
	}
	if k.Limit == (limit.Limit{}) {
		return k, nil
	}
	k.Limit = k.Limit.WithDefaults()
	if err := k.Limit.Validate(); err != nil {
		return k, fmt.Errorf("limit: %w", err)
	}
	return k, nil
}

// limitParameters are null for the zero limit.
func limitParameters(l limit.Limit) (rate *int, period pgtype.Interval, burst *int) {
	if l == (limit.Limit{}) {
		return nil, pgtype.Interval{}, nil
	}
	return &l.Rate, pgtype.Interval{Microseconds: l.Period.Microseconds(), Valid: true}, &l.Burst
}

// orEmpty is an empty array where nil would be a null.
func orEmpty(values []string) []string {
	return append([]string{}, values...)
}
