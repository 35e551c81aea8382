package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// heartbeatSQL waits neither for the disk nor for standbys, as its transaction
// changes nothing; and for another that notifies, whose commit waits for them, not
// so long that a lookup misses the connection.
const heartbeatSQL = "SELECT set_config('lock_timeout', '250ms', true), pg_notify($1, $2)"

// notify sends a listener's heartbeat. It may be tried again, and then finds new
// connections if the old ones were lost.
func (s *KeyStore) notify(ctx context.Context, channel, payload string) error {
	pool, err := s.connections()
	if err != nil {
		return err
	}
	_, err = pool.Exec(ctx, heartbeatSQL, pgx.QueryExecModeExec, channel, payload) // a pooler forgets what was prepared
	switch {
	case settingsRefused(err):
		s.bare.Store(true)
	case ctx.Err() == nil && connectionLost(err):
		pool.Reset()
	}
	return err
}
