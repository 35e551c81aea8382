package postgres

import (
	"slices"

	"github.com/google/uuid"
)

// distinct keeps apart what one statement must not hold twice: a sale id and an
// idempotency key. It would insert both and conflict with itself.
type distinct struct {
	ids  map[uuid.UUID]struct{}
	keys map[idempotencyKey]struct{}
}

type idempotencyKey struct{ workspaceID, key string }

func newDistinct() *distinct {
	return &distinct{map[uuid.UUID]struct{}{}, map[idempotencyKey]struct{}{}}
}

// take appends the first n sales that can go together to dst, in their order,
// and returns those that stay.
func (d *distinct) take(dst, waiting []*pendingSale, n int) (taken, rest []*pendingSale) {
	clear(d.ids)
	clear(d.keys)
	rest = slices.DeleteFunc(waiting, func(p *pendingSale) bool {
		if n == 0 || !d.admit(p) {
			return false
		}
		n--
		dst = append(dst, p)
		return true
	})
	return dst, rest
}

func (d *distinct) admit(p *pendingSale) bool {
	key := idempotencyKey{p.WorkspaceID, p.IdempotencyKey}
	if _, taken := d.ids[p.id]; taken {
		return false
	}
	if _, taken := d.keys[key]; taken {
		return false
	}
	d.ids[p.id] = struct{}{}
	if key.key != "" {
		d.keys[key] = struct{}{}
	}
	return true
}
