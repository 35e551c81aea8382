package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
)

var workspacesQuery = postgres.ReadQuery(queries, "query/workspaces.sql")

// WorkspaceInfo describes a workspace for people. A time that is null in the database is zero.
type WorkspaceInfo struct {
	ID         string
	Name       string
	Limit      limit.Limit // of its keys without their own; zero if there is none or it is invalid
	Disabled   bool        // all its keys are rejected
	DisabledAt time.Time   // zero if a site's view has no time
	CreatedAt  time.Time
	ValidKeys  int64 // that are neither revoked nor expired
}

// ListWorkspaces returns all workspaces, by name.
func ListWorkspaces(ctx context.Context, dsn string) ([]WorkspaceInfo, error) {
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return nil, err
	}
	defer postgres.CloseConn(conn)
	return queryWorkspaces(ctx, conn, nil)
}

// CompleteWorkspaces returns the IDs and names of workspaces whose ID begins with prefix, at most
// max, for the completion of command lines.
func CompleteWorkspaces(ctx context.Context, dsn, prefix string, max int) ([]WorkspaceInfo, error) {
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return nil, err
	}
	defer postgres.CloseConn(conn)
	found, err := workspaces(ctx, conn, `WHERE starts_with(id::text, $1) ORDER BY id LIMIT $2`, prefix, max)
	infos := make([]WorkspaceInfo, len(found))
	for i, w := range found {
		infos[i] = WorkspaceInfo{ID: w.ID, Name: w.Name}
	}
	return infos, err
}

// queryWorkspaces returns the workspace with this ID, or all if id is nil.
func queryWorkspaces(ctx context.Context, q queryer, id *string) ([]WorkspaceInfo, error) {
	rows, _ := q.Query(ctx, workspacesQuery, id) // CollectRows returns the error
	infos, err := pgx.CollectRows(rows, scanWorkspace)
	if err != nil {
		return nil, fmt.Errorf("list workspaces: %w", postgres.SchemaError(err))
	}
	return infos, nil
}

func scanWorkspace(row pgx.CollectableRow) (w WorkspaceInfo, err error) {
	var limit postgres.LimitColumns
	var disabled, created pgtype.Timestamptz
	err = row.Scan(&w.ID, &w.Name, &limit.Rate, &limit.Period, &limit.Burst, &w.Disabled, &disabled, &created,
		&w.ValidKeys)
	if err != nil {
		return WorkspaceInfo{}, err
	}
	if l, err := limit.Limit(); err == nil {
		w.Limit = l
	}
	if disabled.InfinityModifier == pgtype.Finite {
		w.DisabledAt = postgres.Time(disabled)
	}
	w.CreatedAt = postgres.Time(created)
	return w, nil
}
