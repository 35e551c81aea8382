package apikey

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestKeyIsLookedUpOnceWithinItsTTL(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		for _, header := range []string{"Bearer " + testToken, testToken, " bearer\t" + testToken} {
			key, err := b.Authenticate(context.Background(), http.Header{"Authorization": {header}}, testClient)
			b.settle()
			if err != nil {
				t.Fatal(err)
			}
			if key.ID != "key_1" || key.WorkspaceID != "ws_1" || key.Hash != HashOf(testToken) {
				t.Fatalf("another key: %+v", key)
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

func TestHeaderWithoutAKeyIsRefusedWithoutALookup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
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
			_, err := b.Authenticate(context.Background(), http.Header{"Authorization": test.values, "X-Api-Key": {testToken}}, testClient)
			wantCause(t, err, test.cause)
			if refused, _ := errors.AsType[*Refused](err); refused.KeySent != test.keySent {
				t.Errorf("%q: KeySent %v", test.values, refused.KeySent)
			}
		}
		b.wantLookups(0)
	})
}

func TestKeyThatDoesNotHoldIsRefusedWithItsCause(t *testing.T) {
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
		{"all at once", Key{ID: "k", Revoked: true, ExpiresAt: past, WorkspaceDisabled: true}, CauseRevoked},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bundle) {
				b.store.set(testToken, test.key)
				header := bearer(testToken)
				header.Set("Origin", "https://evil.com")
				for range 2 {
					_, err := b.Authenticate(context.Background(), header, testClient)
					b.settle()
					wantCause(t, err, test.cause)
					refused, _ := errors.AsType[*Refused](err)
					if !refused.KeySent || refused.KeyID != "k" || refused.Challenge() != `Bearer error="invalid_token"` {
						t.Errorf("%+v", refused)
					}
				}
				b.wantLookups(1)
			})
		})
	}
}

func TestKeyThatWasFoundIsNoGuess(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.store.set("revoked", Key{Revoked: true})
		for range 3 {
			b.wantCause("revoked", CauseRevoked)
			b.Notify("workspace:ws_1")
		}
		b.wantLookups(3)
		b.wantCause("unknown", CauseUnknown)
		wantSpent(t, b.call("another"))
	}, func(o *Options) { o.Guesses = limitOf(1, time.Hour) })
}

func TestHostnamesAreCheckedOnCachedKeysToo(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.store.set(testToken, Key{AllowedHostnames: []string{"*.Example.com:443"}})
		header := bearer(testToken)
		header.Set("Origin", "https://shop.example.com")
		if _, err := b.Authenticate(context.Background(), header, testClient); err != nil {
			t.Fatal(err)
		}
		b.settle()
		header.Set("Origin", "https://evil.com")
		_, err := b.Authenticate(context.Background(), header, testClient)
		wantCause(t, err, CauseHostNotAllowed)
		b.wantLookups(1)
	})
}

func TestCachedKeyExpiresToTheInstant(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.store.set(testToken, Key{ExpiresAt: time.Now().Add(10 * time.Second)})
		b.wantOK(testToken)
		time.Sleep(10*time.Second - time.Nanosecond)
		b.wantOK(testToken)
		time.Sleep(time.Nanosecond)
		b.wantCause(testToken, CauseExpired)
		b.wantLookups(1)
	})
}

func TestUnknownKeyIsAskedForOnceInFiveSeconds(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.wantCause("unknown", CauseUnknown)
		time.Sleep(5*time.Second - time.Nanosecond)
		b.wantCause("unknown", CauseUnknown)
		b.wantLookups(1)
		time.Sleep(time.Nanosecond)
		b.wantCause("unknown", CauseUnknown)
		b.wantLookups(2)
	})
}

func TestNewKeyIsAdmittedAtItsNotification(t *testing.T) {
	for name, payload := range map[string]string{"key": "key:" + HashOf("new").String(), "workspace": "workspace:ws_1", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bundle) {
				b.wantCause("new", CauseUnknown)
				b.store.set("new", Key{})
				b.wantCause("new", CauseUnknown)
				b.Notify(payload)
				b.wantOK("new")
			})
		})
	}
}

func TestRevokedKeyIsRefusedAtItsNotification(t *testing.T) {
	for name, payload := range map[string]string{"key": "key:" + HashOf(testToken).String(), "workspace": "workspace:ws_1", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bundle) {
				b.wantOK(testToken)
				b.store.set(testToken, Key{Revoked: true})
				b.Notify(payload)
				b.wantCause(testToken, CauseRevoked)
				b.wantLookups(2)
			})
		})
	}
}

func TestNotificationOfOneKeyLeavesTheOthersCached(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.wantOK(testToken)
		b.Notify("key:" + HashOf("other").String())
		b.wantOK(testToken)
		b.wantLookups(1)
	})
}

func TestDeletedKeyIsUnknown(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.wantOK(testToken)
		b.store.delete(testToken)
		b.Notify("key:" + HashOf(testToken).String())
		b.wantCause(testToken, CauseUnknown)
		b.wantCause(testToken, CauseUnknown)
		b.wantLookups(2)
	})
}

func TestKeyFoundDeletedDoesNotComeBackInAnOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.wantOK(testToken)
		b.store.delete(testToken) // and no notification
		time.Sleep(time.Minute)
		b.wantCause(testToken, CauseUnknown)
		b.wantCause(testToken, CauseUnknown)
		b.wantLookups(2)
		b.store.fail(errStoreDown)
		time.Sleep(unknownTTL)
		b.wantUnavailable(testToken)
	})
}

func TestDeafEdgeTrustsAKeyForFiveSeconds(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.wantOK(testToken)
		b.Deaf()
		time.Sleep(5*time.Second - time.Nanosecond)
		b.wantOK(testToken)
		b.wantLookups(1)
		b.store.set(testToken, Key{Revoked: true}) // unheard
		time.Sleep(time.Nanosecond)
		b.wantCause(testToken, CauseRevoked)
		b.wantLookups(2)
	})
}

func TestEdgeThatNeverListenedIsDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.Deaf()
		b.wantOK(testToken)
		time.Sleep(5 * time.Second)
		b.wantOK(testToken)
		b.wantLookups(2)
		if b.Stats().Listening {
			t.Error("it listens")
		}

		never, err := New(b.store, Options{Size: 1, TTL: time.Minute, Guesses: limitOf(1, time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		if never.Stats().Listening {
			t.Error("a new one listens")
		}
	})
}

func TestShortTTLCountsOnADeafEdgeToo(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.Deaf()
		b.wantOK(testToken)
		time.Sleep(2 * time.Second)
		b.wantOK(testToken)
		b.wantLookups(2)
	}, func(o *Options) { o.TTL = 2 * time.Second })
}

func TestReconnectVerifiesEveryKeyAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.wantOK(testToken)
		b.Deaf()
		b.store.set(testToken, Key{Revoked: true}) // unheard
		b.Listening()
		b.wantCause(testToken, CauseRevoked)
		b.wantLookups(2)
	})
}

func TestKeyLookedUpBeforeTheReconnectIsVerifiedAfterIt(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.Deaf()
		b.store.onLookup(func(_ context.Context, call int) {
			if call == 1 {
				b.store.set(testToken, Key{Revoked: true}) // unheard
				b.Listening()
			}
		})
		b.wantOK(testToken) // it held when it was asked for
		b.wantCause(testToken, CauseRevoked)
		b.wantLookups(2)
	})
}

func TestReconnectDuringAnOutageServesStale(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.wantOK(testToken)
		b.Deaf()
		b.store.fail(errStoreDown)
		b.Listening()
		b.wantOK(testToken)
		b.store.fail(nil)
	})
}

func TestOutageIsOutlastedWithinStale(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.wantOK(testToken)
		b.store.fail(errStoreDown)
		for range 4 { // past the ttl, and past the memory of the outage
			time.Sleep(time.Minute)
			b.wantOK(testToken)
		}
		b.wantUnavailable("cold")
		time.Sleep(time.Minute - time.Nanosecond)
		b.wantOK(testToken)
		time.Sleep(time.Nanosecond)
		b.wantUnavailable(testToken)
		b.store.fail(nil)
		b.wantOK(testToken)
	})
}

func TestWithoutStaleTheOutageFailsClosed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.wantOK(testToken)
		b.store.fail(errStoreDown)
		time.Sleep(time.Minute - time.Nanosecond)
		b.wantOK(testToken)
		time.Sleep(time.Nanosecond)
		b.wantUnavailable(testToken)
	}, func(o *Options) { o.Stale = 0 })
}

func TestStaleKeyStillExpires(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.store.set(testToken, Key{ExpiresAt: time.Now().Add(90 * time.Second)})
		b.wantOK(testToken)
		b.store.fail(errStoreDown)
		time.Sleep(90*time.Second - time.Nanosecond)
		b.wantOK(testToken)
		time.Sleep(time.Nanosecond)
		b.wantCause(testToken, CauseExpired)
	})
}

func TestStaleRefusalStaysARefusal(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.store.set(testToken, Key{Revoked: true})
		b.wantCause(testToken, CauseRevoked)
		b.store.fail(errStoreDown)
		time.Sleep(2 * time.Minute)
		b.wantCause(testToken, CauseRevoked)
	})
}

func TestNotifiedKeyIsNeverServedStale(t *testing.T) {
	for name, payload := range map[string]string{"key": "key:" + HashOf(testToken).String(), "workspace": "workspace:ws_1", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bundle) {
				b.wantOK(testToken)
				b.store.fail(errStoreDown)
				b.Notify(payload)
				b.wantUnavailable(testToken)
				b.wantUnavailable(testToken)
			})
		})
	}
}

func TestKeyRevokedWhileTheStoreIsWaitedForIsNotServedStale(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.wantOK(testToken)
		time.Sleep(time.Minute)
		b.store.onLookup(func(ctx context.Context, call int) {
			b.Notify("key:" + HashOf(testToken).String())
			<-ctx.Done()
		})
		b.wantUnavailable(testToken)
	})
}

func TestKeyThatAgesPastStaleWhileTheStoreIsWaitedForIsNotServed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.wantOK(testToken)
		time.Sleep(5*time.Minute - patience)
		b.store.onLookup(mute)
		b.wantUnavailable(testToken)
	})
}

func TestMuteStoreCostsOneWait(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.store.set("second", Key{})
		b.wantOK(testToken)
		b.wantOK("second")
		time.Sleep(time.Minute)
		b.store.onLookup(mute)
		start := time.Now()
		b.wantOK(testToken)
		if waited := time.Since(start); waited != patience {
			t.Fatalf("the first waited %s", waited)
		}
		b.wantLookups(3)

		// From now on nobody waits, and one probe at a time asks the store.
		for range 40 {
			start = time.Now()
			b.wantOK(testToken)
			b.wantOK("second")
			if waited := time.Since(start); waited != 0 {
				t.Fatalf("waited %s", waited)
			}
			time.Sleep(110 * time.Millisecond)
		}
		b.wantLookups(3 + 1)

		// The first answer ends it: the next use waits for the store again.
		b.store.onLookup(nil)
		b.store.set(testToken, Key{Revoked: true})
		b.store.set("second", Key{Revoked: true})
		time.Sleep(probeInterval)
		b.call(testToken) // starts the probe
		synctest.Wait()
		b.wantCause(testToken, CauseRevoked)
		b.wantCause("second", CauseRevoked)
	})
}

func TestSlowAnswerIsUsedWhenItComes(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.wantOK(testToken)
		b.store.set(testToken, Key{Revoked: true}) // unheard
		b.store.onLookup(func(context.Context, int) { time.Sleep(patience + time.Second) })
		time.Sleep(time.Minute)
		b.wantOK(testToken) // after a wait: the store does not seem to answer
		time.Sleep(time.Second)
		synctest.Wait()
		b.wantCause(testToken, CauseRevoked)
		b.wantLookups(2)
	})
}

func TestOutageIsForgottenWhenNobodyAsks(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bundle) {
		b.wantOK(testToken)
		b.store.fail(errStoreDown)
		b.wantUnavailable("cold")
		b.store.fail(nil)
		b.store.set(testToken, Key{Revoked: true})
		time.Sleep(time.Minute)
		b.wantCause(testToken, CauseRevoked)
	})
}

func TestImpossibleOptionsAreRefused(t *testing.T) {
	good := Options{Size: 1, TTL: time.Second, Guesses: limitOf(1, time.Second)}
	if _, err := New(&fakeStore{}, good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"size":    func(o *Options) { o.Size = 0 },
		"ttl":     func(o *Options) { o.TTL = 0 },
		"stale":   func(o *Options) { o.Stale = -1 },
		"guesses": func(o *Options) { o.Guesses.Rate = 0 },
		"period":  func(o *Options) { o.Guesses.Period = 0 },
		"rate":    func(o *Options) { o.Guesses = limitOf(2_000_000_000, time.Second) },
	} {
		bad := good
		change(&bad)
		if _, err := New(&fakeStore{}, bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
