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

// MaxHostnames is the maximum number of host names per key. Edges read all of them with the key.
const MaxHostnames = 1000

// NewKey describes the key that [CreateKey] creates. Only Workspace and Scopes are required.
type NewKey struct {
	// Workspace is the ID or the name of the workspace.
	Workspace string
	// CreateWorkspace creates a workspace with that name if there is none.
	CreateWorkspace bool
	// Name is a description for people.
	Name string
	// Scopes are names from [apikey.ScopeNames], at least one.
	Scopes []string
	// Hostnames are the hosts whose pages may use the key in browsers, such as example.com or
	// *.example.com, at most [MaxHostnames]. Default: all hosts.
	Hostnames []string
	// Limit overrides the limits of the workspace and of the route. Its Period defaults to one
	// minute, its Burst to its Rate. Default: no override.
	Limit limit.Limit
	// ExpiresAt is when the key expires. Default: never.
	ExpiresAt time.Time
}

// CreatedKey is a new key. The whole key is not stored anywhere.
type CreatedKey struct {
	Key         string
	ID          string
	WorkspaceID string
	Start       string // the first characters, which ListKeys shows and RevokeKey accepts
}

// CreateKey creates a key and stores its SHA-256 and first characters. It returns an error without
// storing anything if wanted is invalid or the workspace does not exist.
func CreateKey(ctx context.Context, dsn string, wanted NewKey) (CreatedKey, error) {
	wanted, err := wanted.normalize()
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
		err = fmt.Errorf("%w (--create-workspace creates it)", err)
	}
	if err != nil {
		return CreatedKey{}, err
	}
	key := GenerateKey()
	created := CreatedKey{Key: key, WorkspaceID: workspaceID, Start: key[:keyStartChars]}
	hash := sha256.Sum256([]byte(key))
	rate, period, burst := limitParameters(wanted.Limit)
	const insert = `
INSERT INTO hoko.api_keys (workspace_id, name, key_hash, key_start, scopes, allowed_hostnames,
  rate_limit, rate_period, rate_burst, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
RETURNING id`
	expires := pgtype.Timestamptz{Time: wanted.ExpiresAt, Valid: !wanted.ExpiresAt.IsZero()}
	err = tx.QueryRow(ctx, insert, workspaceID, wanted.Name, hash[:], created.Start, wanted.Scopes,
		append([]string{}, wanted.Hostnames...), rate, period, burst, expires).Scan(&created.ID)
	if err != nil {
		return CreatedKey{}, fmt.Errorf("store key: %w", postgres.SchemaError(err))
	}
	return created, nil
}

// normalize fills in defaults. It returns an error for what the edge would not honor.
func (k NewKey) normalize() (NewKey, error) {
	scopes := strings.Join(apikey.ScopeNames(), ", ")
	if k.Workspace == "" {
		return k, errors.New("a key belongs to a workspace: name one")
	}
	if len(k.Scopes) == 0 {
		return k, fmt.Errorf("a key without scopes allows nothing: give at least one of %s", scopes)
	}
	for _, scope := range k.Scopes {
		if _, ok := apikey.ParseScope(scope); !ok {
			return k, fmt.Errorf("unknown scope %q: it must be one of %s", scope, scopes)
		}
	}
	if len(k.Hostnames) > MaxHostnames {
		return k, fmt.Errorf("a key may have at most %d host names, not %d: allow *.example.com, or all hosts",
			MaxHostnames, len(k.Hostnames))
	}
	for _, hostname := range k.Hostnames {
		if name := strings.TrimPrefix(hostname, "*."); name == "" || strings.ContainsAny(name, "*/\\@?#, \t\r\n") {
			return k, fmt.Errorf("hostname %q must be a host name such as example.com or *.example.com", hostname)
		}
	}
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(time.Now()) {
		return k, fmt.Errorf("the expiry time %s is in the past", k.ExpiresAt.Format(time.RFC3339))
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

// limitParameters returns the columns of a limit. They are null for the zero limit.
func limitParameters(l limit.Limit) (rate *int, period pgtype.Interval, burst *int) {
	if l == (limit.Limit{}) {
		return nil, pgtype.Interval{}, nil
	}
	return &l.Rate, pgtype.Interval{Microseconds: l.Period.Microseconds(), Valid: true}, &l.Burst
}
