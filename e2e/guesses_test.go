package e2e

import (
	"fmt"
	"strings"
	"testing"
)

func TestGuessesAreCountedByAddressAndNobodyBelievesAForgedOne(t *testing.T) {
	s := startStack(t, replace("guesses 60/1m", "guesses 2/1h"))
	c := s.client(t, "HTTP/2.0")
	wantAnswer(t, s.sell(t, c, validSale), 201, publishedOK)
	guess := func(i int) answer {
		return s.call(t, c, "POST", "/api/track/sale", validSale, "Authorization", fmt.Sprint("guess-", i), "X-Forwarded-For", fmt.Sprint("203.0.113.", i))
	}
	for i := range 2 {
		wantAnswer(t, guess(i), 401, body401)
	}
	spent := guess(2)
	if spent.StatusCode != 429 || spent.Header.Get("Retry-After") == "" || spent.Header.Get("RateLimit-Policy") != "" {
		t.Fatalf("got %d %s with %v", spent.StatusCode, spent.body, spent.Header)
	}
	wantHeader(t, spent, "X-RateLimit-Limit", "2")
	wantHeader(t, spent, "X-RateLimit-Remaining", "0")
	wantAnswer(t, s.sell(t, c, validSale), 201, publishedOK) // a cached key is not affected
}

func TestGuessesAreCountedByTheAddressThatATrustedBalancerNames(t *testing.T) {
	s := startStack(t, func(config string) string {
		config = strings.Replace(config, "guesses 60/1m", "guesses 1/1h", 1)
		config = strings.Replace(config, "# trusted_proxies static 192.0.2.0/24", "trusted_proxies static 127.0.0.1/32 ::1/128", 1)
		return strings.Replace(config, "# trusted_proxies_strict", "trusted_proxies_strict", 1)
	})
	c := s.client(t, "HTTP/2.0")
	for i, want := range []struct {
		client string
		status int
	}{{"203.0.113.1", 401}, {"203.0.113.2", 401}, {"203.0.113.1", 429}, {"2001:db8::1", 401}, {"2001:db8::2", 429}} {
		got := s.call(t, c, "POST", "/api/track/sale", validSale, "Authorization", fmt.Sprint("guess-", i), "X-Forwarded-For", want.client)
		if got.StatusCode != want.status {
			t.Errorf("guess %d of %s: got %d, want %d", i, want.client, got.StatusCode, want.status)
		}
	}
}
