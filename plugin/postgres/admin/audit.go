package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"regexp"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/plugin/postgres"
)

// change is a row of hoko.audit, which [inTransaction] commits together with what it describes.
type change struct {
	command            string // such as keys update
	workspaceID, keyID string // empty if none
	details            any    // what has changed, as JSON; never a whole key; nil if nothing more
}

// fromTo is the change of a value in hoko.audit.
type fromTo struct {
	From any `json:"from"`
	To   any `json:"to"`
}

func (c change) record(ctx context.Context, tx pgx.Tx) error {
	details := []byte("{}")
	if c.details != nil {
		var err error
		if details, err = json.Marshal(c.details); err != nil {
			return fmt.Errorf("record the change: %w", err)
		}
	}
	const insert = `INSERT INTO hoko.audit (os_user, command, workspace_id, key_id, details)
		VALUES ($1, $2, nullif($3, ''), nullif($4, ''), $5)`
	_, err := tx.Exec(ctx, insert, osUser(), c.command, c.workspaceID, c.keyID, details)
	if err != nil {
		return fmt.Errorf("record the change in hoko.audit: %w", postgres.SchemaError(err))
	}
	return nil
}

// inTransaction calls do in a transaction, which it commits if do returns nil. It adds the fix to
// an error of a site's view.
func inTransaction(ctx context.Context, dsn string, do func(tx pgx.Tx) error) error {
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return err
	}
	defer postgres.CloseConn(conn)
	return viewError(pgx.BeginFunc(ctx, conn, do))
}

var viewName = regexp.MustCompile(`view "([^"]*)"`)

// viewError adds a fix to the error of a statement that a view does not support: change the site's
// table. It returns other errors unchanged.
func viewError(err error) error {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pgErr.Code != pgerrcode.FeatureNotSupported && pgErr.Code != pgerrcode.ObjectNotInPrerequisiteState {
		return err
	}
	relation := "the relation"
	if name := viewName.FindStringSubmatch(pgErr.Message); name != nil {
		relation = "hoko." + Printable(name[1])
	}
	return fmt.Errorf("%w: %s is a view of your site's table (docs/adopting.md): make this change there", err, relation)
}

// ignoredError is the error of a statement that succeeds but changes nothing, because a trigger of
// a site's view ignores the column.
func ignoredError(relation, column string) error {
	const text = "hoko.%s ignores a change of %s: make this change in your site (docs/adopting.md)"
	return fmt.Errorf(text, relation, column)
}

// osUser returns who runs the command, such as alice@bastion: for sudo, the user who called it.
func osUser() string {
	name := os.Getenv("SUDO_USER")
	if current, err := user.Current(); err == nil && name == "" {
		name = current.Username
	}
	host, _ := os.Hostname()
	return strings.ToValidUTF8(cmp.Or(name, fmt.Sprint(os.Getuid()))+"@"+cmp.Or(host, "localhost"), "�")
}
