package apikey

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// foundBy returns where a request looked for its key.
func (b *fixture) foundBy(header http.Header) Found {
	_, found, _ := b.Authenticate(context.Background(), header, testClient, Required{})
	b.wait()
	return found
}

func TestFound_SaysWhereTheKeyWas(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		want := func(what string, header http.Header, want Found) {
			t.Helper()
			if got := b.foundBy(header); got != want {
				t.Errorf("%s: found by %q, want %q", what, got, want)
			}
		}
		b.store.set(testToken, Key{ID: "k"})
		want("no key", http.Header{}, "")
		want("a malformed key", bearer("a b"), "")
		want("the first use", bearer(testToken), FoundByLookup)
		want("the second use", bearer(testToken), FoundInCache)
		want("an unknown key", bearer("unknown"), FoundByLookup)
		want("an unknown key again", bearer("unknown"), FoundMissing)
		b.store.fail(errors.New("down"))
		time.Sleep(2 * time.Minute)
		want("an outage", bearer(testToken), FoundStale)
		want("the outage that is known", bearer(testToken), FoundStale)
		want("an outage without the key", bearer("another"), FoundByLookup)
	})
}

func TestCached_SaysWhatIsRemembered(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		hash := HashOf(testToken)
		if c, known := b.Cached(hash); known {
			t.Errorf("remembers %+v", c)
		}
		b.store.set(testToken, Key{ID: "k"})
		b.wantOK(testToken)
		b.wait()
		time.Sleep(time.Second)
		if c, known := b.Cached(hash); !known || c.Due || c.Key.ID != "k" || c.Age != time.Second {
			t.Errorf("known %t: %+v", known, c)
		}
		b.Notify(keyPayload(testToken))
		if c, known := b.Cached(hash); !known || !c.Due {
			t.Errorf("after a notification: known %t: %+v", known, c)
		}
		b.wantCause("unknown", CauseUnknown)
		if c, known := b.Cached(HashOf("unknown")); !known || c.Key != nil {
			t.Errorf("an unknown key: known %t: %+v", known, c)
		}
		if found, known := b.CachedID("k"); !known || found != hash {
			t.Errorf("by ID: %t %s", known, found)
		}
		if found, known := b.CachedID("other"); known {
			t.Errorf("another ID: %s", found)
		}
	})
}

func TestHostRule_NamesNoPath(t *testing.T) {
	var many []string
	for i := range 12 {
		many = append(many, fmt.Sprintf("shop%02d.example.com", i))
	}
	for _, tc := range []struct {
		field, value, from string
	}{
		{"Origin", "https://Evil.com", "evil.com"},
		{"Referer", "https://evil.com:8443/reset?token=secret", "evil.com"},
		{"Origin", "https://user:secret@evil.com", ""},
		{"Origin", "null", ""},
	} {
		rejected := check(&Key{AllowedHostnames: many}, http.Header{tc.field: {tc.value}})
		if rejected == nil || rejected.Cause != CauseHostNotAllowed || rejected.Host.From != tc.from ||
			!slices.Equal(rejected.Host.Allowed, many[:10]) || rejected.Host.More != 2 {
			t.Errorf("%s %s: %+v", tc.field, tc.value, rejected)
		}
	}
}

// What an event remembers must not grow with a header.
func TestHostRule_OmitsInvalidHosts(t *testing.T) {
	patterns := []string{"shop.example.com"}
	for from, want := range map[string]string{
		"https://evil.example/secret":                         "evil.example",
		"https://" + strings.Repeat("a", 1<<16) + "/":         "",
		"https://user:secret@evil.example":                    "",
		"null":                                                "",
		"https://" + strings.Repeat("a.", maxHost/2) + "a./":  strings.Repeat("a.", maxHost/2) + "a",
		"https://" + strings.Repeat("a.", maxHost/2) + "aa./": "",
	} {
		header := http.Header{"Origin": {from}}
		if got := newHostRule(patterns, header).From; got != want {
			t.Errorf("%.50s: %.300q, want %q", from, got, want)
		}
	}
}
