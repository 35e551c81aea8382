package inspect

import (
	"context"
	"fmt"
	"time"
)

// Server is what a database server says of itself.
type Server struct {
	Version string // such as 17.2
	Major   int
	Clock   time.Time
	// Encoding of the database: UTF8, or one that cannot keep every character.
	Encoding string
	// ReadOnly: a standby, or a role or database that is set to read only.
	ReadOnly bool
}

// Server asks the server what it is.
func (d *Database) Server(ctx context.Context) (s Server, err error) {
	const question = `
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000, clock_timestamp(),
  current_setting('server_encoding'), current_setting('transaction_read_only')::bool`
	if err := d.conn.QueryRow(ctx, question).Scan(&s.Version, &s.Major, &s.Clock, &s.Encoding,
		&s.ReadOnly); err != nil {
		return s, fmt.Errorf("ask the server: %w", err)
	}
	return s, nil
}

// Durability is what a commit survives.
type Durability struct {
	// Fsync is false if a crash of the machine may corrupt the database.
	Fsync bool
	// Synchronous: commits wait for standbys.
	Synchronous bool
	// Standbys is how many are connected. Without the right to see their state, a base backup
	// counts too.
	Standbys int
}

// Durability asks for the server's settings and standbys.
func (d *Database) Durability(ctx context.Context) (found Durability, err error) {
	const question = `
SELECT current_setting('fsync')::bool, current_setting('synchronous_standby_names') <> '',
  greatest((SELECT count(*) FROM pg_stat_replication WHERE coalesce(state, 'streaming') = 'streaming')
    - (SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical' AND active), 0)`
	if err := d.conn.QueryRow(ctx, question).Scan(&found.Fsync, &found.Synchronous, &found.Standbys); err != nil {
		return found, fmt.Errorf("ask for the standbys: %w", err)
	}
	return found, nil
}

// Commit commits a transaction that writes a message to the log and no row. Under synchronous
// replication it returns once the standbys have it.
func (d *Database) Commit(ctx context.Context) error {
	if _, err := d.conn.Exec(ctx, "SELECT pg_logical_emit_message(true, 'hoko', '')"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
