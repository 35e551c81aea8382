package apikey

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"hoko.to/edge/plugin/limit"
)

func TestCachedKey_LookedUpOncePerTTL(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		for _, header := range []string{"Bearer " + testToken, testToken, " bearer\t" + testToken} {
			key, err := b.send(http.Header{"Authorization": {header}})
			b.wait()
			if err != nil {
				t.Fatal(err)
			}
			if key.ID != "key_1" || key.WorkspaceID != "ws_1" || key.Hash != HashOf(testToken) {
				t.Fatalf("got %+v", key)
			}
		}
		time.Sleep(time.Minute - time.Nanosecond)
		b.wantOK(testToken)
		b.wantLookups(1)
		time.Sleep(time.Nanosecond)
		b.wantOK(testToken)
		b.wantLookups(2)
	})
}

func TestHeaderWithoutKey_CausesNoLookup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		for _, test := range []struct {
			values  []string
			cause   Cause
			keySent bool
		}{
			{nil, CauseMissing, false},
			{[]string{"Basic dXNlcjpwYXNz"}, CauseMissing, false},
			{[]string{"Bearer a b"}, CauseMalformed, true},
			{[]string{testToken, testToken}, CauseMalformed, true},
		} {
			_, err := b.send(http.Header{"Authorization": test.values, "X-Api-Key": {testToken}})
			wantCause(t, err, test.cause)
			if rejected, _ := errors.AsType[*Rejected](err); rejected.KeySent != test.keySent {
				t.Errorf("%q: KeySent is %t", test.values, rejected.KeySent)
			}
		}
		b.wantLookups(0)
	})
}

func TestInvalidKey_RejectedWithCause(t *testing.T) {
	past := time.Unix(1, 0)
	tests := []struct {
		name  string
		key   Key
		cause Cause
	}{
		{"revoked", Key{ID: "k", Revoked: true}, CauseRevoked},
		{"expired", Key{ID: "k", ExpiresAt: past}, CauseExpired},
		{"workspace disabled", Key{ID: "k", WorkspaceDisabled: true}, CauseWorkspaceDisabled},
		{"host not allowed", Key{ID: "k", AllowedHostnames: []string{"example.com"}}, CauseHostNotAllowed},
		{"all of them", Key{ID: "k", Revoked: true, ExpiresAt: past, WorkspaceDisabled: true}, CauseRevoked},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fixture) {
				b.store.set(testToken, test.key)
				header := bearer(testToken)
				header.Set("Origin", "https://evil.com")
				for range 2 {
					_, err := b.send(header)
					b.wait()
					wantCause(t, err, test.cause)
					rejected, _ := errors.AsType[*Rejected](err)
					rejected.Host = nil // see TestHostRule_NamesNoPath
					if want := (Rejected{Cause: test.cause, KeySent: true, KeyID: "k"}); *rejected != want {
						t.Errorf("got %+v, want %+v", *rejected, want)
					}
				}
				b.wantLookups(1)
			})
		})
	}
}

func TestGuesses_RevokedKeyDoesNotCount(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.set("revoked", Key{WorkspaceID: "ws_1", Revoked: true})
		for range 3 {
			b.wantCause("revoked", CauseRevoked)
			b.Notify("workspace:ws_1")
		}
		b.wantLookups(3)
		b.wantCause("unknown", CauseUnknown)
		wantSpent(t, b.call("another"))
	}, withGuesses(1))
}

func TestCachedKey_HostnameIsChecked(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.set(testToken, Key{AllowedHostnames: []string{"*.Example.com:443"}})
		header := bearer(testToken)
		header.Set("Origin", "https://shop.example.com")
		if _, err := b.send(header); err != nil {
			t.Fatal(err)
		}
		b.wait()
		header.Set("Origin", "https://evil.com")
		_, err := b.send(header)
		wantCause(t, err, CauseHostNotAllowed)
		b.wantLookups(1)
	})
}

func TestCachedKey_ExpiresOnTime(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.set(testToken, Key{ExpiresAt: time.Now().Add(10 * time.Second)})
		b.wantOK(testToken)
		time.Sleep(10*time.Second - time.Nanosecond)
		b.wantOK(testToken)
		time.Sleep(time.Nanosecond)
		b.wantCause(testToken, CauseExpired)
		b.wantLookups(1)
	})
}

func TestUnknownKey_LookedUpOncePerFiveSeconds(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantCause("unknown", CauseUnknown)
		time.Sleep(5*time.Second - time.Nanosecond)
		b.wantCause("unknown", CauseUnknown)
		b.wantLookups(1)
		time.Sleep(time.Nanosecond)
		b.wantCause("unknown", CauseUnknown)
		b.wantLookups(2)
	})
}

func TestNotify_AdmitsNewKey(t *testing.T) {
	eachPayload(t, "new", func(t *testing.T, b *fixture, payload string) {
		b.wantCause("new", CauseUnknown)
		b.store.set("new", Key{})
		b.wantCause("new", CauseUnknown)
		b.Notify(payload)
		b.wantOK("new")
	})
}

func TestNotify_RejectsRevokedKey(t *testing.T) {
	eachPayload(t, testToken, func(t *testing.T, b *fixture, payload string) {
		b.wantOK(testToken)
		b.store.set(testToken, Key{Revoked: true})
		b.Notify(payload)
		b.wantCause(testToken, CauseRevoked)
		b.wantLookups(2)
	})
}

func TestNotify_LeavesOtherKeysCached(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.Notify(keyPayload("other"))
		b.wantOK(testToken)
		b.wantLookups(1)
	})
}

func TestDeletedKey_IsUnknown(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.store.delete(testToken)
		b.Notify(keyPayload(testToken))
		b.wantCause(testToken, CauseUnknown)
		b.wantCause(testToken, CauseUnknown)
		b.wantLookups(2)
	})
}

func TestDeletedKey_NotServedDuringOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.store.delete(testToken) // without a notification
		time.Sleep(time.Minute)
		b.wantCause(testToken, CauseUnknown)
		b.wantCause(testToken, CauseUnknown)
		b.wantLookups(2)
		b.store.fail(errStoreDown)
		time.Sleep(unknownTTL)
		b.wantUnavailable(testToken)
	})
}

func TestListenerDown_TrustsKeyForFiveSeconds(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.ListenerDown()
		time.Sleep(5*time.Second - time.Nanosecond)
		b.wantOK(testToken)
		b.wantLookups(1)
		b.store.set(testToken, Key{Revoked: true}) // without a notification
		time.Sleep(time.Nanosecond)
		b.wantCause(testToken, CauseRevoked)
		b.wantLookups(2)
	})
}

func TestListenerDown_UntilFirstListenerUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.ListenerDown()
		b.wantOK(testToken)
		time.Sleep(5 * time.Second)
		b.wantOK(testToken)
		b.wantLookups(2)
		if b.Stats().Listening {
			t.Error("the listener counts as up")
		}

		never, err := New(b.store, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if never.Stats().Listening {
			t.Error("the listener of a new Authenticator counts as up")
		}
	})
}

func TestListenerDown_HonorsShorterTTL(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.ListenerDown()
		b.wantOK(testToken)
		time.Sleep(2 * time.Second)
		b.wantOK(testToken)
		b.wantLookups(2)
	}, func(o *Options) { o.TTL = 2 * time.Second })
}

func TestListenerUp_ChecksEveryKeyAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.ListenerDown()
		b.store.set(testToken, Key{Revoked: true}) // without a notification
		b.ListenerUp()
		b.wantCause(testToken, CauseRevoked)
		b.wantLookups(2)
	})
}

func TestListenerUp_DuringLookup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.ListenerDown()
		b.store.onLookup(func(_ context.Context, call int) {
			if call == 1 {
				b.store.set(testToken, Key{Revoked: true}) // without a notification
				b.ListenerUp()
			}
		})
		b.wantOK(testToken) // it was valid when the request began
		b.wantCause(testToken, CauseRevoked)
		b.wantLookups(2)
	})
}

func TestOptions(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	got, err := Options{Logger: log}.WithDefaults()
	want := Options{
		Size: 100_000, TTL: time.Minute, Stale: 5 * time.Minute, Guesses: limitOf(60, time.Minute), Logger: log,
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	closed := Options{Size: 1, TTL: time.Second, Stale: -1, Guesses: limitOf(1, time.Second), Logger: log}
	if got, err := closed.WithDefaults(); err != nil || got != closed {
		t.Errorf("got %+v, %v; want %+v", got, err, closed)
	}
	for name, bad := range map[string]Options{
		"size":    {Size: -1},
		"ttl":     {TTL: -1},
		"guesses": {Guesses: limit.Limit{Period: time.Minute, Burst: 60}},
		"period":  {Guesses: limitOf(60, 0)},
		"rate":    {Guesses: limitOf(2_000_000_000, time.Second)},
	} {
		if _, err := New(&fakeStore{}, bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
