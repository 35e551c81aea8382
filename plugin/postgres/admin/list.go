package admin

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
)

//go:embed query
var queries embed.FS

var keysQuery = postgres.ReadQuery(queries, "query/keys.sql")

// KeyInfo describes a key for people. A time that is null in the database is zero.
type KeyInfo struct {
	ID            string
	WorkspaceID   string
	WorkspaceName string
	Name          string
	Start         string // the first characters of the key
	Scopes        []string
	Hostnames     []string    // empty: all hosts
	Limit         limit.Limit // of the key itself; zero if there is none or it is invalid
	ExpiresAt     time.Time
	RevokedAt     time.Time
	CreatedAt     time.Time

	WorkspaceDisabled bool
}

// ListKeys returns the keys of the workspace with this ID or name, or of all workspaces for "". It
// includes revoked and expired keys. The newest keys come first.
func ListKeys(ctx context.Context, dsn, workspace string) ([]KeyInfo, error) {
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return nil, err
	}
	defer postgres.CloseConn(conn)
	var workspaceID *string
	if workspace != "" {
		found, err := findWorkspace(ctx, conn, workspace)
		if err != nil {
			return nil, err
		}
		workspaceID = &found
	}
	rows, err := queryKeys(ctx, conn, workspaceID, nil, nil)
	if err != nil {
		return nil, err
	}
	infos := make([]KeyInfo, len(rows))
	for i, row := range rows {
		infos[i] = row.KeyInfo
	}
	return infos, nil
}

// listedKey is a row of query/keys.sql.
type listedKey struct {
	KeyInfo
	exact bool // the key was found by its ID or hash
}

func queryKeys(ctx context.Context, conn *pgx.Conn, workspaceID, which *string, hash []byte) ([]listedKey, error) {
	rows, _ := conn.Query(ctx, keysQuery, workspaceID, which, hash) // CollectRows returns the error
	keys, err := pgx.CollectRows(rows, scanListed)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", postgres.SchemaError(err))
	}
	return keys, nil
}

func scanListed(row pgx.CollectableRow) (listedKey, error) {
	var k listedKey
	var scopes, hostnames []*string
	var limit postgres.LimitColumns
	var expires, revoked, created pgtype.Timestamptz
	err := row.Scan(&k.ID, &k.WorkspaceID, &k.WorkspaceName, &k.Name, &k.Start, &scopes, &hostnames,
		&limit.Rate, &limit.Period, &limit.Burst, &expires, &revoked, &created, &k.WorkspaceDisabled, &k.exact)
	if err != nil {
		return listedKey{}, err
	}
	k.Scopes, k.Hostnames = postgres.Texts(scopes), postgres.Texts(hostnames)
	if l, err := limit.Limit(); err == nil {
		k.Limit = l
	}
	k.ExpiresAt, k.RevokedAt, k.CreatedAt = postgres.Time(expires), postgres.Time(revoked), postgres.Time(created)
	return k, nil
}
