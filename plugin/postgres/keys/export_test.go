package keys

import (
	"context"
	"errors"
)

// OnConnections runs SQL on each connection of the store that is idle.
func (s *Store) OnConnections(ctx context.Context, sql string) error {
	pool, err := s.connections()
	if err != nil {
		return err
	}
	if err := pool.Ping(ctx); err != nil { // so that there is one
		return err
	}
	for _, conn := range pool.AcquireAllIdle(ctx) {
		_, failed := conn.Exec(ctx, sql)
		err = errors.Join(err, failed)
		conn.Release()
	}
	return err
}
