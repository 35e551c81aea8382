package apikey

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"hoko.to/edge/internal/testkit"
	"hoko.to/edge/plugin/tracing"
)

// traceQueries makes each query a span below that of the lookup's context.
func (b *fixture) traceQueries(before func(ctx context.Context, call int)) {
	b.store.onLookup(func(ctx context.Context, call int) {
		span := tracing.Of(ctx).Start(tracing.Step("query"), time.Time{})
		if before != nil {
			before(ctx, call)
		}
		span.End(time.Time{}, "")
	})
}

func TestTrace_OfEachResult(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(b *fixture)
		token   string
		want    string
	}{
		"found":   {nil, testToken, "key lookup[query]"},
		"unknown": {nil, "other", "key lookup[query]"},
		"cached":  {func(b *fixture) { b.wantOK(testToken) }, testToken, ""},
		"no key":  {nil, "", ""},
		"revoked": {
			func(b *fixture) { b.store.set(testToken, Key{Revoked: true}) }, testToken,
			"key lookup[query]",
		},
		"store down": {func(b *fixture) { b.store.fail(errStoreDown) }, testToken, "key lookup!unavailable[query]"},
		"due for a check": {
			func(b *fixture) { b.wantOK(testToken); b.Notify("") }, testToken,
			"key lookup[query]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fixture) {
				if tc.prepare != nil {
					tc.prepare(b)
					b.wait()
				}
				b.traceQueries(nil)
				ctx, trace := testkit.StartTrace(context.Background())
				header := http.Header{}
				if tc.token != "" {
					header = bearer(tc.token)
				}
				b.Authenticate(ctx, header, testClient, Required{})
				if got := trace.Tree(); got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
			})
		})
	}
}

// The lookup of a client that has left continues. What it does then belongs to no trace.
func TestTrace_EndsBeforeItsLookup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		unblock := make(chan struct{})
		b.traceQueries(func(context.Context, int) { <-unblock })
		b.store.fail(errUnreadable) // so that a second query follows, for no keys
		ctx, cancel := context.WithCancel(context.Background())
		ctx, trace := testkit.StartTrace(ctx)
		result := b.request(ctx, testToken, testClient)
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		trace.End()
		close(unblock)
		synctest.Wait()
		if got := trace.Tree(); got != "key lookup[query]" {
			t.Errorf("got %q", got)
		}
		if b.inFlight.find(HashOf(testToken)) != nil {
			t.Error("the lookup is still in flight")
		}
	})
}

// During an outage, cached keys are used and checked in the background, which is in no trace.
func TestTrace_OmitsChecksInTheBackground(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.wait()
		b.store.fail(errStoreDown)
		time.Sleep(2 * time.Minute) // fake time, until the key is due for a check
		b.traceQueries(nil)
		for i, want := range []string{"key lookup!unavailable[query]", ""} {
			ctx, trace := testkit.StartTrace(context.Background())
			b.Authenticate(ctx, bearer(testToken), testClient, Required{})
			synctest.Wait()
			if got := trace.Tree(); got != want {
				t.Errorf("request %d: got %q, want %q", i, got, want)
			}
		}
	})
}
