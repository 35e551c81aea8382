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

// namedAtMost bounds the workspaces that an error lists.
const namedAtMost = 10

type workspace struct{ ID, Name string }

func (w workspace) String() string { return WorkspaceText(w.ID, w.Name) }

// WorkspaceText returns how people are shown a workspace: id (name).
func WorkspaceText(id, name string) string {
	if name == "" {
		return Printable(id)
	}
	return fmt.Sprintf("%s (%s)", Printable(id), Printable(name))
}

// Printable returns a text of the database for a terminal or a line: control characters, and others
// that would change what stands around them, are escaped as in Go.
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

// findWorkspace returns the id of the workspace with this id, or else name. Its
// error says which ones there are.
func findWorkspace(ctx context.Context, q queryer, idOrName string) (string, error) {
	found, err := workspaces(ctx, q, `WHERE $1 IN (id::text, name) ORDER BY id::text = $1 DESC, id LIMIT $2`, idOrName, namedAtMost)
	if err != nil {
		return "", err
	}
	switch {
	case len(found) == 1, len(found) > 1 && found[0].ID == idOrName:
		return found[0].ID, nil
	case len(found) > 1:
		return "", fmt.Errorf("several workspaces are named %q; name one by its id: %s", idOrName, listed(found))
	}
	existing, err := workspaces(ctx, q, `ORDER BY name, id LIMIT $1`, namedAtMost)
	if err != nil {
		return "", err
	}
	if len(existing) == 0 {
		return "", fmt.Errorf("%w %q: there is none yet", errUnknownWorkspace, idOrName)
	}
	return "", fmt.Errorf("%w %q: there are %s", errUnknownWorkspace, idOrName, listed(existing))
}

func workspaces(ctx context.Context, q queryer, which string, args ...any) ([]workspace, error) {
	rows, _ := q.Query(ctx, "SELECT id::text, coalesce(name, '') FROM hoko.workspaces "+which, args...) // CollectRows returns its error
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[workspace])
	if err != nil {
		return nil, fmt.Errorf("look for workspace: %w", postgres.SchemaError(err))
	}
	return found, nil
}

func createWorkspace(ctx context.Context, q queryer, name string) (id string, err error) {
	err = q.QueryRow(ctx, `INSERT INTO hoko.workspaces (name) VALUES ($1) RETURNING id::text`, name).Scan(&id)
	if err != nil {
		return "", fmt.Errorf("create workspace: %w", postgres.SchemaError(err))
	}
	return id, nil
}

func listed(workspaces []workspace) string {
	names := make([]string, len(workspaces))
	for i, w := range workspaces {
		names[i] = w.String()
	}
	if len(workspaces) == namedAtMost {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}
