package admin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/plugin/postgres"
)

var errUnknownWorkspace = errors.New("no such workspace")

// maxListed is the maximum number of workspaces that an error lists.
const maxListed = 10

type workspace struct{ ID, Name string }

func (w workspace) String() string { return WorkspaceText(w.ID, w.Name) }

// WorkspaceText formats a workspace for people as ID (name).
func WorkspaceText(id, name string) string {
	if name == "" {
		return Printable(id)
	}
	return fmt.Sprintf("%s (%s)", Printable(id), Printable(name))
}

// Printable escapes nonprintable characters as in Go, so that text from the database cannot affect
// a terminal or begin a new line.
func Printable(text string) string {
	if utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return text
	}
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

type queryer interface {
	postgres.Querier
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// findWorkspace returns the ID of the workspace with this ID or, if there is none, with this name.
// Its error lists existing workspaces, and wraps errUnknownWorkspace if none matches.
func findWorkspace(ctx context.Context, q queryer, idOrName string) (string, error) {
	const matching = `WHERE $1 IN (id::text, name) ORDER BY id::text = $1 DESC, id LIMIT $2`
	found, err := workspaces(ctx, q, matching, idOrName, maxListed)
	if err != nil {
		return "", err
	}
	switch {
	case len(found) == 1, len(found) > 1 && found[0].ID == idOrName:
		return found[0].ID, nil
	case len(found) > 1:
		return "", fmt.Errorf("several workspaces have the name %q; use the ID of one: %s", idOrName, list(found))
	}
	existing, err := workspaces(ctx, q, `ORDER BY name, id LIMIT $1`, maxListed)
	if err != nil {
		return "", err
	}
	if len(existing) == 0 {
		return "", fmt.Errorf("%w %q: there are none yet", errUnknownWorkspace, idOrName)
	}
	return "", fmt.Errorf("%w %q: there are %s", errUnknownWorkspace, idOrName, list(existing))
}

func workspaces(ctx context.Context, q queryer, clauses string, args ...any) ([]workspace, error) {
	const all = "SELECT id::text, coalesce(name, '') FROM hoko.workspaces "
	rows, _ := q.Query(ctx, all+clauses, args...) // CollectRows returns the error
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[workspace])
	if err != nil {
		return nil, fmt.Errorf("look for workspace: %w", postgres.SchemaError(err))
	}
	return found, nil
}

func createWorkspace(ctx context.Context, tx pgx.Tx, name string) (id string, err error) {
	err = tx.QueryRow(ctx, `INSERT INTO hoko.workspaces (name) VALUES ($1) RETURNING id::text`, name).Scan(&id)
	if err != nil {
		return "", fmt.Errorf("create workspace: %w", postgres.SchemaError(err))
	}
	return id, change{command: "workspaces create", workspaceID: id}.record(ctx, tx)
}

func list(workspaces []workspace) string {
	names := make([]string, len(workspaces))
	for i, w := range workspaces {
		names[i] = w.String()
	}
	if len(workspaces) == maxListed {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}
