package apikey

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hoko.to/edge/plugin/limit"
)

// fakeStore is a Store that a test can change, break and hold up.
type fakeStore struct {
	mu      sync.Mutex
	keys    map[Hash]Key
	err     error
	unread  map[Hash]bool // whose rows cannot be read: whoever asks for one of them gets errUnreadable
	batches [][]Hash      // each that was asked for
	// before runs at the start of a lookup, after what the lookup will answer
	// has been read: what it does, the answer does not know yet.
	before func(ctx context.Context, call int)
}

var (
	errStoreDown  = errors.New("connection refused")
	errUnreadable = errors.New("invalid input syntax")
)

func (s *fakeStore) Keys(ctx context.Context, hashes []Hash) (map[Hash]*Key, error) {
	s.mu.Lock()
	if len(hashes) == 0 { // whether it answers at all
		defer s.mu.Unlock()
		return nil, s.err
	}
	s.batches = append(s.batches, hashes)
	call, before, err := len(s.batches), s.before, s.err
	found := map[Hash]*Key{}
	for _, hash := range hashes {
		if key, ok := s.keys[hash]; ok {
			found[hash] = &key
		}
		if s.unread[hash] && err == nil {
			err = errUnreadable
		}
	}
	s.mu.Unlock()
	if before != nil {
		before(ctx, call)
	}
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return found, nil
}

func (s *fakeStore) change(f func(*fakeStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *fakeStore) set(token string, key Key) {
	s.change(func(s *fakeStore) {
		if s.keys == nil {
			s.keys = map[Hash]Key{}
		}
		s.keys[HashOf(token)] = key
	})
}

func (s *fakeStore) delete(token string) {
	s.change(func(s *fakeStore) { delete(s.keys, HashOf(token)) })
}

func (s *fakeStore) fail(err error) { s.change(func(s *fakeStore) { s.err = err }) }

func (s *fakeStore) onLookup(f func(ctx context.Context, call int)) {
	s.change(func(s *fakeStore) { s.before = f })
}

func (s *fakeStore) lookups() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.batches)
}

// mute is a store that takes questions and never answers.
func unresponsive(ctx context.Context, _ int) { <-ctx.Done() }

const (
	testToken  = "hoko_0000000000000000000000000000000000000000000"
	testClient = "192.0.2.1"
)

// fixture is an authenticator that listens, over a store that knows testToken.
type fixture struct {
	*Authenticator
	*lookups
	t     testing.TB
	store *fakeStore
}

func setup(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	o := Options{Size: 1000}
	for _, f := range change {
		f(&o)
	}
	store := &fakeStore{}
	store.set(testToken, Key{ID: "key_1", WorkspaceID: "ws_1"})
	a, err := New(store, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	a.ListenerUp()
	return &fixture{a, a.lookups, t, store}
}

// inBubble runs a test on its own clock.
func inBubble(t *testing.T, test func(t *testing.T, b *fixture), change ...func(*Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, setup(t, change...))
	})
}

// eachPayload runs a test for each kind of notification that concerns a key.
func eachPayload(t *testing.T, token string, test func(t *testing.T, b *fixture, payload string)) {
	t.Helper()
	for name, payload := range map[string]string{"key": keyPayload(token), "workspace": "workspace:ws_1", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fixture) { test(t, b, payload) })
		})
	}
}

// keyPayload is the notification that concerns only this key.
func keyPayload(token string) string { return "key:" + HashOf(token).String() }

func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}}
}

func (b *fixture) authenticate(token string) (*Key, error) {
	return b.Authenticate(context.Background(), bearer(token), testClient, Required{})
}

// begin starts a request and returns when it waits. Its result comes later.
func (b *fixture) request(ctx context.Context, token, client string) <-chan error {
	result := make(chan error, 1)
	go func() {
		_, err := b.Authenticate(ctx, bearer(token), client, Required{})
		result <- err
	}()
	synctest.Wait()
	return result
}

// call authenticates with a token and waits until the cache has taken in what was found.
func (b *fixture) call(token string) error { return b.callFrom(token, testClient) }

func (b *fixture) callFrom(token, client string) error {
	_, err := b.Authenticate(context.Background(), bearer(token), client, Required{})
	b.wait()
	return err
}

func (b *fixture) wait() {
	b.keys.mu.RLock()
	defer b.keys.mu.RUnlock()
	b.keys.engine.Wait()
}

func (b *fixture) wantOK(token string) {
	b.t.Helper()
	if err := b.call(token); err != nil {
		b.t.Fatalf("rejected: %v", err)
	}
}

func (b *fixture) wantCause(token string, cause Cause) {
	b.t.Helper()
	wantCause(b.t, b.call(token), cause)
}

func (b *fixture) wantUnavailable(token string) {
	b.t.Helper()
	if err := b.call(token); !errors.Is(err, ErrUnavailable) {
		b.t.Fatalf("got %v, want ErrUnavailable", err)
	}
}

func (b *fixture) wantLookups(want int) {
	b.t.Helper()
	if got := b.store.lookups(); got != want {
		b.t.Fatalf("%d lookups, want %d", got, want)
	}
}

func wantCause(t testing.TB, err error, cause Cause) {
	t.Helper()
	rejected, ok := errors.AsType[*Rejected](err)
	if !ok {
		t.Fatalf("got %v, want a refusal", err)
	}
	if rejected.Cause != cause {
		t.Fatalf("cause %q, want %q", rejected.Cause, cause)
	}
}

func wantSpent(t testing.TB, err error) *GuessesSpent {
	t.Helper()
	spent, ok := errors.AsType[*GuessesSpent](err)
	if !ok {
		t.Fatalf("got %v, want GuessesSpent", err)
	}
	return spent
}

// limitOf is n guesses a period, all of which may come together.
func limitOf(n int, period time.Duration) limit.Limit {
	return limit.Limit{Rate: n, Period: period, Burst: n}
}
