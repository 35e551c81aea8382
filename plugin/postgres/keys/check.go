package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
)

// sampleSize is the maximum number of keys that Check looks up.
const sampleSize = 1000

// Sample is what [Check] has found out about a sample of the keys in hoko.api_keys.
type Sample struct {
	Keys      int // size of the sample, at most 1000
	Malformed int // keys whose key_hash is not a SHA-256, so that no request finds them
	Missing   int // keys that a lookup by key_hash did not find
}

// ErrUnreadable means that a column of a key or workspace has a type that the edge cannot read.
var ErrUnreadable = errors.New("a column has a type that a lookup cannot read")

// Check looks up a key that does not exist and a sample of existing keys, as an edge does. Its
// error says why the edge cannot look up keys, and wraps [ErrUnreadable] or [postgres.ErrSchema] if
// that is the cause. Warnings about keys go to o.Logger.
func Check(ctx context.Context, o postgres.Options) (sample Sample, err error) {
	s, err := NewStore(o)
	if err != nil {
		return sample, err
	}
	defer s.Close()
	var unknown apikey.Hash
	rand.Read(unknown[:])
	if _, err := s.Key(ctx, unknown); !errors.Is(err, apikey.ErrNotFound) {
		return sample, err
	}
	if err := s.checkColumns(ctx); err != nil {
		return sample, err
	}
	var hashes [][]byte
	const pick = "SELECT coalesce(array_agg(key_hash), '{}') FROM (SELECT key_hash FROM hoko.api_keys LIMIT $1) k"
	if err := s.pool.QueryRow(ctx, pick, sampleSize).Scan(&hashes); err != nil {
		return sample, fmt.Errorf("%w: key_hash of hoko.api_keys: %w", ErrUnreadable, err)
	}
	sample.Keys = len(hashes)
	known := make(map[apikey.Hash]bool, len(hashes))
	for _, hash := range hashes {
		if len(hash) != len(apikey.Hash{}) {
			sample.Malformed++
			continue
		}
		known[apikey.Hash(hash)] = true
	}
	found, err := s.Keys(ctx, slices.Collect(maps.Keys(known)))
	sample.Missing = len(known) - len(found)
	return sample, err
}

// columnTypes are the types that a lookup can read, by the column of query/key.sql. The first type
// is the one that docs/adopting.md names.
var columnTypes = map[string][]uint32{
	"id":                textTypes,
	"workspace_id":      textTypes,
	"scopes":            listTypes,
	"allowed_hostnames": listTypes,
	"rate_limit":        numberTypes,
	"rate_period":       {pgtype.IntervalOID, pgtype.TimeOID},
	"rate_burst":        numberTypes,
	"expires_at":        {pgtype.TimestamptzOID}, // timestamp would be read as UTC
}

var (
	textTypes = []uint32{
		pgtype.TextOID, pgtype.VarcharOID, pgtype.BPCharOID, pgtype.NameOID, pgtype.QCharOID, pgtype.UUIDOID,
		pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.NumericOID, pgtype.OIDOID,
	}
	listTypes = []uint32{
		pgtype.TextArrayOID, pgtype.VarcharArrayOID, pgtype.BPCharArrayOID, pgtype.NameArrayOID,
		pgtype.JSONOID, pgtype.JSONBOID,
	}
	numberTypes = []uint32{
		pgtype.Int4OID, pgtype.Int2OID, pgtype.Int8OID, pgtype.NumericOID, pgtype.Float4OID, pgtype.Float8OID,
	}
)

// firstUserOID is the first OID of types that the site or an extension has created, such as an enum
// or citext. A lookup reads them as text, or as an array of text.
const firstUserOID = 16384

func readable(column string, oid uint32) bool {
	types, known := columnTypes[column]
	if !known || slices.Contains(types, oid) {
		return true
	}
	text := slices.Contains(types, pgtype.TextOID) || slices.Contains(types, pgtype.TextArrayOID)
	return text && oid >= firstUserOID
}

// checkColumns returns an error if a lookup cannot read a column's type. A lookup would not notice
// before the first key that has a value there.
func (s *Store) checkColumns(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	statement, err := conn.Conn().Prepare(ctx, "", keyQuery)
	if err != nil {
		return fmt.Errorf("prepare the lookup: %w", postgres.SchemaError(err))
	}
	for _, field := range statement.Fields {
		if readable(field.Name, field.DataTypeOID) {
			continue
		}
		var got, want string
		const names = "SELECT $1::oid::regtype::text, $2::oid::regtype::text"
		row := conn.QueryRow(ctx, names, field.DataTypeOID, columnTypes[field.Name][0])
		if err := row.Scan(&got, &want); err != nil {
			return err
		}
		return fmt.Errorf("%w: %s of a key is %s, not %s", ErrUnreadable, field.Name, got, want)
	}
	return nil
}

// FullScans returns the scans that are not index probes in the plan of a lookup.
func FullScans(ctx context.Context, o postgres.Options) ([]postgres.Scan, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	return postgres.FullScans(ctx, o.DSN, settings, keyQuery)
}
