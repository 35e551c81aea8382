package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/plugin/limit"
)

// KeyChange is what [UpdateKey] changes. Nil fields stay as they are.
type KeyChange struct {
	Name      *string
	Scopes    []string     // at least one
	Hostnames *[]string    // empty: all hosts
	Limit     *limit.Limit // zero: no limit of its own
	Burst     int          // of Limit, or else of the limit that the key has; 0 stays as it is
	ExpiresAt *time.Time   // zero: never
}

// UpdateKey changes a key and returns what it is then. which selects it as for [RevokeKey]. Edges
// apply the change within a second.
func UpdateKey(ctx context.Context, dsn, which string, wanted KeyChange) (updated KeyInfo, err error) {
	if reflect.ValueOf(wanted).IsZero() {
		return KeyInfo{}, errors.New("nothing to change was named")
	}
	if err := wanted.check(); err != nil {
		return KeyInfo{}, err
	}
	err = inTransaction(ctx, dsn, func(tx pgx.Tx) error {
		key, err := lockKey(ctx, tx, which)
		if err != nil {
			return err
		}
		columns, details, err := wanted.apply(key)
		if err != nil || len(columns) == 0 {
			updated = key
			return err
		}
		if updated, err = setColumns(ctx, tx, key.ID, columns); err != nil {
			return err
		}
		if err := wanted.checkApplied(updated, details); err != nil {
			return err
		}
		return change{"keys update", key.WorkspaceID, key.ID, details}.record(ctx, tx)
	})
	return updated, err
}

func (c KeyChange) check() error {
	if c.Name != nil {
		if err := checkText("name", *c.Name); err != nil {
			return err
		}
	}
	if c.Scopes != nil {
		if err := checkScopes(c.Scopes); err != nil {
			return err
		}
	}
	if c.Hostnames != nil {
		if err := checkHostnames(*c.Hostnames); err != nil {
			return err
		}
	}
	if c.ExpiresAt != nil {
		return checkExpiry(*c.ExpiresAt)
	}
	return nil
}

// apply returns the columns of key that change, and the details for hoko.audit.
func (c KeyChange) apply(key KeyInfo) (columns []column, details map[string]fromTo, err error) {
	details = map[string]fromTo{}
	if c.Name != nil && *c.Name != key.Name {
		columns = append(columns, column{"name", *c.Name})
		details["name"] = fromTo{key.Name, *c.Name}
	}
	if c.Scopes != nil && !slices.Equal(c.Scopes, key.Scopes) {
		columns = append(columns, column{"scopes", c.Scopes})
		details["scopes"] = fromTo{append([]string{}, key.Scopes...), c.Scopes}
	}
	if c.Hostnames != nil && !slices.Equal(*c.Hostnames, key.Hostnames) {
		hostnames := append([]string{}, *c.Hostnames...)
		columns = append(columns, column{"allowed_hostnames", hostnames})
		details["hostnames"] = fromTo{append([]string{}, key.Hostnames...), hostnames}
	}
	if c.ExpiresAt != nil && !c.ExpiresAt.Equal(key.ExpiresAt) {
		columns = append(columns, column{"expires_at", timestamp(*c.ExpiresAt)})
		details["expires_at"] = fromTo{auditTime(key.ExpiresAt), auditTime(*c.ExpiresAt)}
	}
	if c.Limit == nil && c.Burst == 0 {
		return columns, details, nil
	}
	wanted, err := c.limitOf(key)
	if err != nil || wanted == key.Limit && wanted != (limit.Limit{}) {
		return columns, details, err
	}
	// Also if both are none: the row may have an invalid limit.
	rate, period, burst := limitParameters(wanted)
	columns = append(columns, column{"rate_limit", rate}, column{"rate_period", period}, column{"rate_burst", burst})
	details["limit"] = fromTo{key.Limit.String(), wanted.String()}
	return columns, details, nil
}

// checkApplied returns an error if one of these changes has left the key as it was.
func (c KeyChange) checkApplied(key KeyInfo, details map[string]fromTo) error {
	_, left, err := c.apply(key)
	for name, wanted := range details {
		if same, ok := left[name]; ok && reflect.DeepEqual(same, wanted) && !reflect.DeepEqual(wanted.From, wanted.To) {
			return ignoredError("api_keys", name)
		}
	}
	return err
}

// limitOf returns the limit that key has then.
func (c KeyChange) limitOf(key KeyInfo) (limit.Limit, error) {
	wanted := key.Limit
	if c.Limit != nil {
		wanted = *c.Limit
	}
	if c.Burst != 0 && wanted == (limit.Limit{}) {
		return wanted, errors.New("a burst needs a limit, which the key lacks")
	}
	if wanted == (limit.Limit{}) {
		return wanted, nil
	}
	wanted.Burst = cmp.Or(c.Burst, wanted.Burst)
	return checkLimit(wanted)
}

// auditTime returns at for hoko.audit: nil for the zero time.
func auditTime(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at.UTC()
}

// column is a column of hoko.api_keys and its new value.
type column struct {
	name  string // never from input
	value any
}

// setColumns changes only these columns of a key, because others may be expressions of a view, and
// returns what the key is then.
func setColumns(ctx context.Context, tx pgx.Tx, id string, columns []column) (KeyInfo, error) {
	args := []any{id}
	var set []string
	for _, c := range columns {
		args = append(args, c.value)
		set = append(set, fmt.Sprintf("%s = $%d", c.name, len(args)))
	}
	tag, err := tx.Exec(ctx, "UPDATE hoko.api_keys SET "+strings.Join(set, ", ")+" WHERE id::text = $1", args...)
	if err == nil && tag.RowsAffected() != 1 {
		err = fmt.Errorf("%d rows changed instead of one", tag.RowsAffected())
	}
	if err != nil {
		return KeyInfo{}, fmt.Errorf("change key %s: %w", Printable(id), err)
	}
	return findKey(ctx, tx, id)
}
