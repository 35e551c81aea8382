package apikey

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// usedKeys counts the calls of Add by key ID.
type usedKeys struct {
	mu    sync.Mutex
	calls map[string]int
}

func (u *usedKeys) Add(keyID string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.calls == nil {
		u.calls = map[string]int{}
	}
	u.calls[keyID]++
}

func (u *usedKeys) want(t *testing.T, calls int) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.calls["key_1"] != calls || len(u.calls) > 1 {
		t.Errorf("recorded %v, want %d for key_1", u.calls, calls)
	}
}

func TestUses_OncePerMinuteAndEntry(t *testing.T) {
	uses := new(usedKeys)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30 * time.Second) // a bubble starts with a minute of the wall clock
		b := setup(t, func(o *Options) { o.Uses, o.TTL = uses, 10*time.Minute })
		request := func(calls int) {
			t.Helper()
			for range 3 {
				b.wantOK(testToken)
			}
			uses.want(t, calls)
		}
		request(1)
		time.Sleep(30*time.Second - time.Nanosecond)
		request(1)
		time.Sleep(time.Nanosecond) // the wall clock's next minute
		request(2)
		b.Notify(keyPayload(testToken)) // a new entry
		request(3)
		b.wantLookups(2)
		time.Sleep(time.Hour)
		request(4)
	})
}

// Only the requests with a valid key count, also if they are then rejected for their scopes.
func TestUses_OfValidKeys(t *testing.T) {
	conversions, err := ParseRequired([]string{"conversionsWrite"})
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	for name, tc := range map[string]struct {
		key      Key
		header   http.Header
		required Required
		want     int
	}{
		"valid":              {want: 1},
		"lacks scopes":       {required: conversions, want: 1},
		"revoked":            {key: Key{Revoked: true}},
		"expired":            {key: Key{ExpiresAt: past}},
		"workspace disabled": {key: Key{WorkspaceDisabled: true}},
		"host not allowed": {key: Key{AllowedHostnames: []string{"example.com"}},
			header: http.Header{"Origin": {"https://example.org"}}},
		"unknown": {header: bearer("another")},
		"missing": {header: http.Header{"Authorization": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			uses := new(usedKeys)
			b := setup(t, func(o *Options) { o.Uses = uses })
			tc.key.ID, tc.key.WorkspaceID = "key_1", "ws_1"
			b.store.set(testToken, tc.key)
			header := bearer(testToken)
			for name, values := range tc.header {
				header[name] = values
			}
			b.Authenticate(context.Background(), header, testClient, tc.required)
			uses.want(t, tc.want)
		})
	}
}

func TestUses_DuringAnOutage(t *testing.T) {
	uses := new(usedKeys)
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.store.fail(errStoreDown)
		time.Sleep(2 * time.Minute)
		b.wantOK(testToken)
		b.wantOK(testToken)
		uses.want(t, 2)
	}, func(o *Options) { o.Uses = uses })
}
