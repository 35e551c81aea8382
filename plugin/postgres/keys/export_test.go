package keys

import (
	"context"
	"errors"
)

// OnConnections runs SQL on each idle connection of the store. It opens one if there is none.
func (s *Store) OnConnections(ctx context.Context, sql string) error {
	pool, err := s.openPool()
	if err != nil {
		return err
	}
	if err := pool.Ping(ctx); err != nil {
		return err
	}
	for _, conn := range pool.AcquireAllIdle(ctx) {
		_, failed := conn.Exec(ctx, sql)
		err = errors.Join(err, failed)
		conn.Release()
	}
	return err
}
