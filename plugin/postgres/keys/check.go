package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
)

// sampleSize bounds the keys that Check looks up.
const sampleSize = 1000

// Sample is what became of a sample of the keys in hoko.api_keys.
type Sample struct {
	Keys      int // how many it has, at most 1000
	Malformed int // whose key_hash is no SHA-256: no request can find them
	Missing   int // that are there and cannot be looked up
}

// ErrUnreadable means that a column of a key has a type that the edge cannot read.
var ErrUnreadable = errors.New("a column has a type that a lookup cannot read")

// Check looks up a key that does not exist, and a sample of those that do, as an edge does. Its
// error says what keeps the edge from looking keys up. What it would log goes to the logger of o.
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
	asked := make([]apikey.Hash, 0, len(known))
	for hash := range known {
		asked = append(asked, hash)
	}
	found, err := s.Keys(ctx, asked)
	sample.Missing = len(asked) - len(found)
	return sample, err
}

// columnTypes are those of Postgres that a lookup can read, by the column of query/key.sql. The
// first is the one that docs/adopting.md names.
var columnTypes = map[string][]uint32{
	"id":                textTypes,
	"workspace_id":      textTypes,
	"scopes":            listTypes,
	"allowed_hostnames": listTypes,
	"rate_limit":        numberTypes,
	"rate_period":       {pgtype.IntervalOID, pgtype.TimeOID},
	"rate_burst":        numberTypes,
	"expires_at":        {pgtype.TimestamptzOID}, // one without a zone would be taken for UTC
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

// firstOwnType is the first number that Postgres gives to a type which the site or an extension has
// created, such as an enum or citext. A lookup reads these as text, or as a list of texts.
const firstOwnType = 16384

func readable(column string, is uint32) bool {
	types, known := columnTypes[column]
	if !known || slices.Contains(types, is) {
		return true
	}
	return is >= firstOwnType && (slices.Contains(types, pgtype.TextOID) || slices.Contains(types, pgtype.TextArrayOID))
}

// checkColumns refuses columns whose values no lookup can read, of which nothing is seen before the
// first key that has one.
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
		var is, want string
		const names = "SELECT $1::oid::regtype::text, $2::oid::regtype::text"
		row := conn.QueryRow(ctx, names, field.DataTypeOID, columnTypes[field.Name][0])
		if err := row.Scan(&is, &want); err != nil {
			return err
		}
		return fmt.Errorf("%w: %s of a key is %s, not %s", ErrUnreadable, field.Name, is, want)
	}
	return nil
}

// FullScans returns the scans by which a lookup reads more of a relation than an index probe does.
func FullScans(ctx context.Context, o postgres.Options) ([]postgres.Scan, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	return postgres.FullScans(ctx, o.DSN, settings, keyQuery)
}
