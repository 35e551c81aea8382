package inspect

import (
	"context"
	"fmt"
	"time"
)

// Server describes a database server.
type Server struct {
	Version  string    // such as 17.2
	Major    int       // such as 17
	Clock    time.Time // the server's time
	Encoding string    // of the database, such as UTF8
	// ReadOnly reports that the server is a standby, or the role or database is read-only.
	ReadOnly bool
}

// Server queries the server's version, time and settings.
func (d *Database) Server(ctx context.Context) (s Server, err error) {
	const query = `
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000, clock_timestamp(),
  current_setting('server_encoding'), current_setting('transaction_read_only')::bool`
	err = d.conn.QueryRow(ctx, query).Scan(&s.Version, &s.Major, &s.Clock, &s.Encoding, &s.ReadOnly)
	if err != nil {
		return s, fmt.Errorf("read the server's version and settings: %w", err)
	}
	return s, nil
}

// Durability describes what a commit survives.
type Durability struct {
	// Fsync is false if a crash of the machine may corrupt the database.
	Fsync bool
	// Synchronous reports that commits wait for standbys.
	Synchronous bool
	// Standbys counts connected standbys, and base backups if the role may not distinguish them.
	Standbys int
}

// Durability queries the server's settings and standbys.
func (d *Database) Durability(ctx context.Context) (found Durability, err error) {
	const query = `
SELECT current_setting('fsync')::bool, current_setting('synchronous_standby_names') <> '',
  greatest((SELECT count(*) FROM pg_stat_replication WHERE coalesce(state, 'streaming') = 'streaming')
    - (SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical' AND active), 0)`
	if err := d.conn.QueryRow(ctx, query).Scan(&found.Fsync, &found.Synchronous, &found.Standbys); err != nil {
		return found, fmt.Errorf("look for standbys: %w", err)
	}
	return found, nil
}

// Commit commits a transaction that writes a message to the write-ahead log but no row. With
// synchronous replication, it returns when the standbys have it.
func (d *Database) Commit(ctx context.Context) error {
	if _, err := d.conn.Exec(ctx, "SELECT pg_logical_emit_message(true, 'hoko', '')"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
