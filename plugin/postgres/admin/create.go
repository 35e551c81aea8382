package admin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

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
	var created CreatedKey
	err = inTransaction(ctx, dsn, func(tx pgx.Tx) error {
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
	created, hash := generateFor(workspaceID)
	rate, period, burst := limitParameters(wanted.Limit)
	const insert = `
INSERT INTO hoko.api_keys (workspace_id, name, key_hash, key_start, scopes, allowed_hostnames,
  rate_limit, rate_period, rate_burst, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
RETURNING id::text`
	err = tx.QueryRow(ctx, insert, workspaceID, wanted.Name, hash, created.Start, wanted.Scopes,
		append([]string{}, wanted.Hostnames...), rate, period, burst, timestamp(wanted.ExpiresAt)).Scan(&created.ID)
	if err != nil {
		return CreatedKey{}, fmt.Errorf("store key: %w", postgres.SchemaError(err))
	}
	return created, change{"keys create", workspaceID, created.ID,
		map[string]any{"start": created.Start, "scopes": wanted.Scopes}}.record(ctx, tx)
}

// generateFor returns a new key of a workspace, which has no ID yet, and its hash.
func generateFor(workspaceID string) (created CreatedKey, hash []byte) {
	key := GenerateKey()
	sum := sha256.Sum256([]byte(key))
	return CreatedKey{Key: key, WorkspaceID: workspaceID, Start: key[:keyStartChars]}, sum[:]
}

// normalize fills in defaults. It returns an error for what the edge would not honor.
func (k NewKey) normalize() (NewKey, error) {
	if k.Workspace == "" {
		return k, errors.New("a key belongs to a workspace: name one")
	}
	if err := cmp.Or(checkText("workspace", k.Workspace), checkText("name", k.Name), checkScopes(k.Scopes),
		checkHostnames(k.Hostnames), checkExpiry(k.ExpiresAt)); err != nil {
		return k, err
	}
	if k.Limit == (limit.Limit{}) {
		return k, nil
	}
	var err error
	k.Limit, err = checkLimit(k.Limit)
	return k, err
}

// checkText returns an error for what Postgres cannot store.
func checkText(what, text string) error {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return fmt.Errorf("the %s must be UTF-8 without NUL", what)
	}
	return nil
}

func checkScopes(names []string) error {
	scopes := strings.Join(apikey.ScopeNames(), ", ")
	if len(names) == 0 {
		return fmt.Errorf("a key without scopes allows nothing: give at least one of %s", scopes)
	}
	for _, name := range names {
		if _, ok := apikey.ParseScope(name); !ok {
			return fmt.Errorf("unknown scope %q: it must be one of %s", name, scopes)
		}
	}
	return nil
}

func checkHostnames(hostnames []string) error {
	if len(hostnames) > MaxHostnames {
		return fmt.Errorf("a key may have at most %d host names, not %d: allow *.example.com, or all hosts",
			MaxHostnames, len(hostnames))
	}
	for _, hostname := range hostnames {
		name := strings.TrimPrefix(hostname, "*.")
		if name == "" || strings.ContainsAny(name, "*/\\@?#, \t\r\n\x00") || !utf8.ValidString(name) {
			return fmt.Errorf("hostname %q must be a host name such as example.com or *.example.com", hostname)
		}
	}
	return nil
}

// checkExpiry returns an error for a time in the past. The zero time is never.
func checkExpiry(at time.Time) error {
	if !at.IsZero() && !at.After(time.Now()) {
		return fmt.Errorf("the expiry time %s is in the past", at.Format(time.RFC3339))
	}
	return nil
}

// checkLimit returns l with its defaults.
func checkLimit(l limit.Limit) (limit.Limit, error) {
	l = l.WithDefaults()
	return l, validLimit(l)
}

// limitParameters returns the columns of a limit. They are null for the zero limit.
func limitParameters(l limit.Limit) (rate *int, period pgtype.Interval, burst *int) {
	if l == (limit.Limit{}) {
		return nil, pgtype.Interval{}, nil
	}
	return &l.Rate, pgtype.Interval{Microseconds: l.Period.Microseconds(), Valid: true}, &l.Burst
}
