package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
)

// NewWorkspace describes the workspace that [CreateWorkspace] creates. Only Name is required.
type NewWorkspace struct {
	ID    string // default: the database generates one
	Name  string
	Limit limit.Limit // of keys without their own; default: none
}

// CreateWorkspace creates a workspace. It returns an error if the ID or the name is in use.
func CreateWorkspace(ctx context.Context, dsn string, wanted NewWorkspace) (WorkspaceInfo, error) {
	return changeWorkspace(ctx, dsn, func(tx pgx.Tx) (id string, err error) {
		return insertWorkspace(ctx, tx, wanted)
	})
}

// createWorkspace creates a workspace with this name and returns its ID.
func createWorkspace(ctx context.Context, tx pgx.Tx, name string) (id string, err error) {
	return insertWorkspace(ctx, tx, NewWorkspace{Name: name})
}

func insertWorkspace(ctx context.Context, tx pgx.Tx, wanted NewWorkspace) (id string, err error) {
	var row workspaceRow
	row.set("name", wanted.Name)
	details := map[string]any{"name": wanted.Name}
	labels := []string{wanted.Name}
	if wanted.ID != "" {
		row.set("id", wanted.ID)
		labels = append(labels, wanted.ID)
	}
	if wanted.Limit != (limit.Limit{}) {
		row.setLimit(wanted.Limit)
		details["limit"] = wanted.Limit.String()
	}
	if err := cmp.Or(validLimit(wanted.Limit), checkLabels(ctx, tx, "", labels...)); err != nil {
		return "", err
	}
	sql := fmt.Sprintf("INSERT INTO hoko.workspaces (%s) VALUES (%s) RETURNING id::text", row.names(), row.parameters())
	if err := tx.QueryRow(ctx, sql, row.values...).Scan(&id); err != nil {
		return "", fmt.Errorf("create workspace: %w", postgres.SchemaError(err))
	}
	return id, change{command: "workspaces create", workspaceID: id, details: details}.record(ctx, tx)
}

// WorkspaceChange says what [UpdateWorkspace] changes. What is nil or 0 stays.
type WorkspaceChange struct {
	Name  *string
	Limit *limit.Limit // the zero Limit removes it
	Burst int          // of that limit, or of the existing one
}

// UpdateWorkspace changes the workspace with this ID or name. Edges apply a new limit within a
// second. It returns an error if the new name is in use.
func UpdateWorkspace(ctx context.Context, dsn, idOrName string, wanted WorkspaceChange) (WorkspaceInfo, error) {
	if wanted == (WorkspaceChange{}) {
		return WorkspaceInfo{}, errors.New("nothing to change: give at least one of --name, --limit and --burst")
	}
	return changeWorkspace(ctx, dsn, func(tx pgx.Tx) (string, error) {
		old, err := lockWorkspace(ctx, tx, idOrName)
		if err != nil {
			return "", err
		}
		var row workspaceRow
		details := map[string]fromTo{}
		if wanted.Name != nil {
			if err := checkLabels(ctx, tx, old.ID, *wanted.Name); err != nil {
				return "", err
			}
			row.set("name", *wanted.Name)
			details["name"] = fromTo{old.Name, *wanted.Name}
		}
		if wanted.Limit != nil || wanted.Burst != 0 {
			l, err := wanted.newLimit(old.Limit)
			if err != nil {
				return "", err
			}
			row.setLimit(l)
			details["limit"] = fromTo{old.Limit.String(), l.String()}
		}
		sql := fmt.Sprintf("UPDATE hoko.workspaces SET (%s) = ROW(%s) WHERE id::text = $%d",
			row.names(), row.parameters(), len(row.values)+1)
		if _, err := tx.Exec(ctx, sql, append(row.values, old.ID)...); err != nil {
			return "", fmt.Errorf("update workspace %s: %w", Printable(old.ID), err)
		}
		if err := checkWorkspaceChanged(ctx, tx, old, details); err != nil {
			return "", err
		}
		return old.ID, change{command: "workspaces update", workspaceID: old.ID, details: details}.record(ctx, tx)
	})
}

// checkWorkspaceChanged returns an error if one of these changes has left the workspace as it was.
func checkWorkspaceChanged(ctx context.Context, tx pgx.Tx, old WorkspaceInfo, details map[string]fromTo) error {
	updated, err := workspaceByID(ctx, tx, old.ID)
	switch name, l := details["name"], details["limit"]; {
	case err != nil:
		return err
	case name.From != name.To && updated.Name == old.Name:
		return ignoredError("workspaces", "name")
	case l.From != l.To && updated.Limit == old.Limit:
		return ignoredError("workspaces", "limit")
	}
	return nil
}

// newLimit returns what the limit becomes.
func (c WorkspaceChange) newLimit(old limit.Limit) (limit.Limit, error) {
	l := old
	if c.Limit != nil {
		l = *c.Limit
	}
	if c.Burst == 0 {
		return l, validLimit(l)
	}
	if l == (limit.Limit{}) {
		return l, errors.New("--burst needs a --limit: the workspace has none")
	}
	l.Burst = c.Burst
	return l, validLimit(l)
}

// SetWorkspaceDisabled disables or enables the workspace with this ID or name, and reports whether
// it was not so already. Edges reject all keys of a disabled workspace within a second. A workspace
// that is disabled already keeps its DisabledAt.
func SetWorkspaceDisabled(
	ctx context.Context, dsn, idOrName string, disabled bool,
) (w WorkspaceInfo, changed bool, err error) {
	command, sql := "workspaces enable", "UPDATE hoko.workspaces SET disabled_at = NULL WHERE id::text = $1"
	if disabled {
		command, sql = "workspaces disable", "UPDATE hoko.workspaces SET disabled_at = now() WHERE id::text = $1"
	}
	w, err = changeWorkspace(ctx, dsn, func(tx pgx.Tx) (string, error) {
		old, err := lockWorkspace(ctx, tx, idOrName)
		if err != nil || old.Disabled == disabled {
			return old.ID, err
		}
		changed = true
		if _, err := tx.Exec(ctx, sql, old.ID); err != nil {
			return "", fmt.Errorf("%s %s: %w", command, Printable(old.ID), err)
		}
		if w, err := workspaceByID(ctx, tx, old.ID); err != nil || w.Disabled != disabled {
			return "", cmp.Or(err, ignoredError("workspaces", "disabled_at"))
		}
		return old.ID, change{command: command, workspaceID: old.ID}.record(ctx, tx)
	})
	return w, changed && err == nil, err
}

// changeWorkspace calls do in a transaction and returns the workspace whose ID it returns.
func changeWorkspace(
	ctx context.Context, dsn string, do func(pgx.Tx) (id string, err error),
) (w WorkspaceInfo, err error) {
	err = inTransaction(ctx, dsn, func(tx pgx.Tx) error {
		id, err := do(tx)
		if err != nil {
			return err
		}
		w, err = workspaceByID(ctx, tx, id)
		return err
	})
	if err != nil {
		return WorkspaceInfo{}, err
	}
	return w, nil
}

// lockWorkspace returns the workspace with this ID or name, which no other session changes until
// the transaction ends.
func lockWorkspace(ctx context.Context, tx pgx.Tx, idOrName string) (WorkspaceInfo, error) {
	id, err := findWorkspace(ctx, tx, idOrName)
	if err != nil {
		return WorkspaceInfo{}, err
	}
	// Does not block the creation of its keys.
	const lock = "SELECT FROM hoko.workspaces WHERE id::text = $1 FOR NO KEY UPDATE"
	if _, err := tx.Exec(ctx, lock, id); err != nil {
		return WorkspaceInfo{}, fmt.Errorf("lock workspace %s: %w", Printable(id), err)
	}
	return workspaceByID(ctx, tx, id)
}

func workspaceByID(ctx context.Context, tx pgx.Tx, id string) (WorkspaceInfo, error) {
	found, err := queryWorkspaces(ctx, tx, &id)
	if err != nil {
		return WorkspaceInfo{}, err
	}
	if len(found) != 1 {
		return WorkspaceInfo{}, fmt.Errorf("%w %q: it was deleted meanwhile", errUnknownWorkspace, id)
	}
	return found[0], nil
}

// labelsLock is the advisory lock that keeps names unique, for which there is no index.
const labelsLock int64 = 0x776f726b // "work"

// maxLabelChars bounds a name or an ID.
const maxLabelChars = 255

// checkLabels returns an error if one of these names and IDs is malformed or in use by a workspace
// other than exceptID, as either: commands accept both.
func checkLabels(ctx context.Context, tx pgx.Tx, exceptID string, labels ...string) error {
	for _, label := range labels {
		if strings.TrimSpace(label) == "" || Printable(label) != label || len([]rune(label)) > maxLabelChars {
			return fmt.Errorf("the name or id of a workspace must be 1 to %d printable characters, not %q",
				maxLabelChars, label)
		}
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", labelsLock); err != nil {
		return fmt.Errorf("lock the names of workspaces: %w", err)
	}
	const used = "WHERE (id::text = ANY ($1) OR name = ANY ($1)) AND id::text <> $2 ORDER BY id LIMIT 1"
	found, err := workspaces(ctx, tx, used, labels, exceptID)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("the name or id is in use: there is workspace %s", found[0])
	}
	return err
}

func validLimit(l limit.Limit) error {
	if l == (limit.Limit{}) {
		return nil
	}
	if l.Calendar != limit.None {
		return fmt.Errorf("limit: the columns rate_* cannot hold a quota per %s: give a period such as 30d, "+
			"or set the quota in the Caddyfile", l.Calendar)
	}
	if err := l.Validate(); err != nil {
		return fmt.Errorf("limit: %w", err)
	}
	return nil
}

// workspaceRow is a row of hoko.workspaces, or some of its columns: a view may have columns that
// cannot be written.
type workspaceRow struct {
	columns []string
	values  []any
}

func (r *workspaceRow) set(column string, value any) {
	r.columns, r.values = append(r.columns, column), append(r.values, value)
}

func (r *workspaceRow) setLimit(l limit.Limit) {
	rate, period, burst := limitParameters(l)
	r.set("rate_limit", rate)
	r.set("rate_period", period)
	r.set("rate_burst", burst)
}

func (r *workspaceRow) names() string { return strings.Join(r.columns, ", ") }

func (r *workspaceRow) parameters() string {
	numbers := make([]string, len(r.values))
	for i := range numbers {
		numbers[i] = fmt.Sprintf("$%d", i+1)
	}
	return strings.Join(numbers, ", ")
}
