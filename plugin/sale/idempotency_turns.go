package sale

import (
	"context"
	"sync"
)

// turns lets the requests of one idempotency key through one at a time, in the
// order in which they came. A twin that ran beside the first would only find,
// once both are in the database, that it has to start again.
type turns struct {
	mu      sync.Mutex
	waiting map[turnKey]*turn
}

type turnKey struct{ workspaceID, idempotencyKey string }

// turn is what the requests in flight of one key share. It goes with the last of them.
type turn struct {
	taken chan struct{} // holds one element while a request runs
	users int
}

// take waits for the key's turn. The caller gives it back by done.
func (t *turns) take(ctx context.Context, key turnKey) (done func(), err error) {
	turn := t.join(key)
	select {
	case turn.taken <- struct{}{}:
		return func() { <-turn.taken; t.leave(key, turn) }, nil
	case <-ctx.Done():
		t.leave(key, turn)
		return nil, ctx.Err()
	}
}

func (t *turns) join(key turnKey) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	shared := t.waiting[key]
	if shared == nil {
		if t.waiting == nil {
			t.waiting = map[turnKey]*turn{}
		}
		shared = &turn{taken: make(chan struct{}, 1)}
		t.waiting[key] = shared
	}
	shared.users++
	return shared
}

func (t *turns) leave(key turnKey, shared *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if shared.users--; shared.users == 0 {
		delete(t.waiting, key)
	}
}
