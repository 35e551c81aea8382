package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
)

var importSQL = postgres.ReadQuery(queries, "query/import.sql")

const (
	// maxWrongLines is how many wrong lines [ImportKeys] reports.
	maxWrongLines = 20
	// importChunk is the number of keys per statement.
	importChunk = 5000
)

// ImportedKey is a line of [ImportKeys]'s input.
type ImportedKey struct {
	NewKey // CreateWorkspace is ignored
	Line   int
	Hash   apikey.Hash
	Start  string // the first characters of the key, if they are known
	Err    error  // why the line could not be read
}

// KeyStart returns the first characters of a key that may be stored: not many of a short key.
func KeyStart(key string) string { return key[:min(keyStartChars, len(key)/4)] }

// ImportKeys stores keys in one transaction, or none of them if a line is wrong or if dryRun is
// set. The error then names the wrong lines, but repeats nothing of them.
func ImportKeys(ctx context.Context, dsn string, keys []ImportedKey, dryRun bool) error {
	w := wrongLines{}
	keys = w.normalize(keys)
	if len(w) >= maxWrongLines {
		return w.err()
	}
	err := inTransaction(ctx, dsn, func(tx pgx.Tx) error {
		if err := w.findWorkspaces(ctx, tx, keys); err != nil {
			return err
		}
		for chunk := range slices.Chunk(keys, importChunk) {
			if err := w.findExisting(ctx, tx, chunk); err != nil {
				return err
			}
		}
		if err := w.err(); err != nil {
			return err
		}
		for chunk := range slices.Chunk(keys, importChunk) {
			if err := importKeys(ctx, tx, chunk); err != nil {
				return err
			}
		}
		if dryRun {
			return errDryRun
		}
		return nil
	})
	if errors.Is(err, errDryRun) {
		return nil
	}
	return err
}

var errDryRun = errors.New("dry run")

// importKeys stores some keys, whose workspaces are IDs, and records them.
func importKeys(ctx context.Context, tx pgx.Tx, keys []ImportedKey) error {
	n := len(keys)
	workspaces, names, hashes, starts := make([]string, n), make([]string, n), make([][]byte, n), make([]string, n)
	scopes, hostnames, rates, bursts := make([]string, n), make([]string, n), make([]*int, n), make([]*int, n)
	periods, expires := make([]pgtype.Interval, n), make([]pgtype.Timestamptz, n)
	for i, k := range keys {
		workspaces[i], names[i], hashes[i], starts[i] = k.Workspace, k.Name, keys[i].Hash[:], k.Start
		scopes[i], hostnames[i] = strings.Join(k.Scopes, " "), strings.Join(k.Hostnames, " ")
		rates[i], periods[i], bursts[i] = limitParameters(k.Limit)
		expires[i] = timestamp(k.ExpiresAt)
	}
	tag, err := tx.Exec(ctx, importSQL, workspaces, names, hashes, starts, scopes, hostnames, rates, periods, bursts,
		expires, osUser())
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == pgerrcode.UniqueViolation {
		return fmt.Errorf("store keys: %w: another session has stored one of them meanwhile; run it again", err)
	}
	if err == nil && tag.RowsAffected() != int64(n) {
		err = fmt.Errorf("%d rows were stored instead of %d", tag.RowsAffected(), n)
	}
	if err != nil {
		return fmt.Errorf("store keys: %w", postgres.SchemaError(err))
	}
	return nil
}

// wrongLines holds what is wrong, by line.
type wrongLines map[int]error

// normalize returns the keys that are right so far, with defaults.
func (w wrongLines) normalize(keys []ImportedKey) []ImportedKey {
	lines, right := make(map[apikey.Hash]int, len(keys)), make([]ImportedKey, 0, len(keys))
	for _, key := range keys {
		first, repeated := lines[key.Hash]
		switch {
		case key.Err != nil:
			w[key.Line] = key.Err
			continue
		case repeated:
			w[key.Line] = fmt.Errorf("the same key as line %d", first)
			continue
		}
		lines[key.Hash] = key.Line
		normal, err := key.normalize()
		if err == nil && key.Name != "" && apikey.HashOf(key.Name) == key.Hash {
			err = errors.New("the name is the key itself, which must not be stored")
		}
		if err != nil {
			w[key.Line] = err
			continue
		}
		key.NewKey = normal
		right = append(right, key)
	}
	return right
}

// findWorkspaces sets the IDs of the workspaces.
func (w wrongLines) findWorkspaces(ctx context.Context, tx pgx.Tx, keys []ImportedKey) error {
	type found struct {
		id  string
		err error
	}
	known := map[string]found{}
	for i, key := range keys {
		workspace, ok := known[key.Workspace]
		if !ok {
			workspace.id, workspace.err = findWorkspace(ctx, tx, key.Workspace)
			if _, fails := errors.AsType[*pgconn.PgError](workspace.err); fails || ctx.Err() != nil {
				return workspace.err
			}
			known[key.Workspace] = workspace
		}
		keys[i].Workspace = workspace.id
		if workspace.err == nil {
			continue
		}
		if w[key.Line] = workspace.err; len(w) > maxWrongLines {
			return w.err()
		}
	}
	return nil
}

// findExisting finds the keys that are stored already.
func (w wrongLines) findExisting(ctx context.Context, tx pgx.Tx, keys []ImportedKey) error {
	hashes, lines := make([][]byte, len(keys)), make(map[apikey.Hash]int, len(keys))
	for i := range keys {
		hashes[i], lines[keys[i].Hash] = keys[i].Hash[:], keys[i].Line
	}
	rows, err := tx.Query(ctx, `SELECT key_hash, id::text FROM hoko.api_keys WHERE key_hash = ANY($1)`, hashes)
	if err != nil {
		return fmt.Errorf("look for keys: %w", postgres.SchemaError(err))
	}
	var hash []byte
	var id string
	_, err = pgx.ForEachRow(rows, []any{&hash, &id}, func() error {
		w[lines[apikey.Hash(hash)]] = fmt.Errorf("it is in the database already, as key %s", Printable(id))
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for keys: %w", postgres.SchemaError(err))
	}
	return nil
}

// quoted matches a text in quotation marks, as %q prints it.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// err returns an error that names the first wrong lines, or nil. It leaves out what the lines hold,
// because a key may be in the wrong column.
func (w wrongLines) err() error {
	if len(w) == 0 {
		return nil
	}
	var text strings.Builder
	text.WriteString("nothing was imported:")
	lines := make([]int, 0, len(w))
	for line := range w {
		lines = append(lines, line)
	}
	slices.SortFunc(lines, cmp.Compare)
	for i, line := range lines {
		if i == maxWrongLines {
			text.WriteString("\n  and more lines")
			break
		}
		fmt.Fprintf(&text, "\n  line %d: %s", line, quoted.ReplaceAllLiteralString(w[line].Error(), "…"))
	}
	return errors.New(text.String())
}
