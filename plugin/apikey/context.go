package apikey

import "context"

type contextKey struct{}

// NewContext hands the verified key to the stages behind.
func NewContext(ctx context.Context, key *Key) context.Context {
	return context.WithValue(ctx, contextKey{}, key)
}

// FromContext is the verified key of this request.
func FromContext(ctx context.Context) (*Key, bool) {
	key, ok := ctx.Value(contextKey{}).(*Key)
	return key, ok
}
