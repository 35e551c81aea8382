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

// fakeStore is a Store in memory whose answers a test can change, delay and make fail.
type fakeStore struct {
	mu         sync.Mutex
	keys       map[Hash]Key
	err        error
	unreadable map[Hash]bool // a batch with one of these fails with errUnreadable
	batches    [][]Hash      // the arguments of all calls
	// before runs after a call has read its answer and before it returns: the answer does not
	// include changes that before makes.
	before func(ctx context.Context, call int)
}

var (
	errStoreDown  = errors.New("connection refused")
	errUnreadable = errors.New("invalid input syntax")
)

func (s *fakeStore) Keys(ctx context.Context, hashes []Hash) (map[Hash]*Key, error) {
	s.mu.Lock()
	if len(hashes) == 0 { // see storeResponds
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
		if s.unreadable[hash] && err == nil {
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

// corrupt makes the rows of these keys unreadable.
func (s *fakeStore) corrupt(tokens ...string) {
	s.change(func(s *fakeStore) {
		s.unreadable = map[Hash]bool{}
		for _, token := range tokens {
			s.unreadable[HashOf(token)] = true
		}
	})
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

// unresponsive makes a lookup hang until it is canceled.
func unresponsive(ctx context.Context, _ int) { <-ctx.Done() }

const (
	testToken  = "hoko_0000000000000000000000000000000000000000000"
	testClient = "192.0.2.1"
)

// fixture is an Authenticator whose listener is up, with a store that has testToken's key.
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

// inBubble runs a test in a synctest bubble, with fake time.
func inBubble(t *testing.T, test func(t *testing.T, b *fixture), change ...func(*Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, setup(t, change...)) })
}

// eachPayload runs a test for each kind of payload that concerns the key of token.
func eachPayload(t *testing.T, token string, test func(t *testing.T, b *fixture, payload string)) {
	t.Helper()
	for name, payload := range map[string]string{"key": keyPayload(token), "workspace": "workspace:ws_1", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fixture) { test(t, b, payload) })
		})
	}
}

// keyPayload returns the payload that concerns only the key of token.
func keyPayload(token string) string { return "key:" + HashOf(token).String() }

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func (b *fixture) send(header http.Header) (*Key, error) {
	key, _, err := b.Authenticate(context.Background(), header, testClient, Required{})
	return key, err
}

func (b *fixture) authenticate(token string) (*Key, error) { return b.send(bearer(token)) }

// request starts a request and returns once it is blocked or done. The channel receives its error.
func (b *fixture) request(ctx context.Context, token, client string) <-chan error {
	result := make(chan error, 1)
	go func() {
		_, _, err := b.Authenticate(ctx, bearer(token), client, Required{})
		result <- err
	}()
	synctest.Wait()
	return result
}

// call authenticates with a token and waits until the cache contains the result.
func (b *fixture) call(token string) error { return b.callFrom(token, testClient) }

func (b *fixture) callFrom(token, client string) error {
	_, _, err := b.Authenticate(context.Background(), bearer(token), client, Required{})
	b.wait()
	return err
}

// wait waits until the cache contains everything that was put.
func (b *fixture) wait() {
	b.keys.mu.RLock()
	defer b.keys.mu.RUnlock()
	b.keys.engine.Wait()
}

func (b *fixture) wantOutage(want bool) {
	b.t.Helper()
	if got := b.Stats().Outage; got != want {
		b.t.Errorf("Stats reports an outage: %t, want %t", got, want)
	}
}

func (b *fixture) wantOK(token string) {
	b.t.Helper()
	if err := b.call(token); err != nil {
		b.t.Fatalf("got %v, want no error", err)
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
	if rejected, ok := errors.AsType[*Rejected](err); !ok || rejected.Cause != cause {
		t.Fatalf("got %v, want a 401 with cause %q", err, cause)
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

// limitOf returns a limit of n guesses per period with a burst of n.
func limitOf(n int, period time.Duration) limit.Limit {
	return limit.Limit{Rate: n, Period: period, Burst: n}
}
