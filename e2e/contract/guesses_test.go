package contract

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"hoko.to/edge/e2e/harness"
)

func TestGuesses_CountByAddressIgnoringForgedOnes(t *testing.T) {
	s, c := harness.StartStackAndClient(t, "HTTP/2.0", harness.Replace("guesses 60/1m", "guesses 2/1h"))
	harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK)
	guess := func(i int) harness.Answer {
		return s.SellAs(t, c, fmt.Sprint("guess-", i), "X-Forwarded-For", fmt.Sprint("203.0.113.", i))
	}
	for i := range 2 {
		harness.WantAnswer(t, guess(i), 401, harness.Body401)
	}
	spent := guess(2)
	if spent.StatusCode != 429 || spent.Header.Get("Retry-After") == "" || spent.Header.Get("RateLimit-Policy") != "" {
		t.Fatalf("got %d %s with %v", spent.StatusCode, spent.Text, spent.Header)
	}
	harness.WantHeader(t, spent, "X-RateLimit-Limit", "2")
	harness.WantHeader(t, spent, "X-RateLimit-Remaining", "0")
	harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK) // a cached key is not affected
}

func TestGuesses_NewEdgeAdmitsValidKeys(t *testing.T) {
	s := harness.StartStack(t, harness.Replace("guesses 60/1m", "guesses 5/1m"))
	const keys, atATime = 80, 16
	tokens := make(chan string, keys)
	for i := range keys {
		token := fmt.Sprint("hoko_fresh_", i)
		s.DB.AddKey(token, "conversionsWrite")
		tokens <- token
	}
	close(tokens)
	c := s.Client(t, "HTTP/2.0")
	var clients sync.WaitGroup
	for range atATime {
		clients.Go(func() {
			for token := range tokens {
				if got := s.SellAs(t, c, token); got.StatusCode != 201 {
					t.Errorf("%s: got %d %s", token, got.StatusCode, got.Text)
				}
			}
		})
	}
	clients.Wait()
}

func TestGuesses_CountByAddressFromTrustedProxy(t *testing.T) {
	s := harness.StartStack(t, func(config string) string {
		config = strings.Replace(config, "guesses 60/1m", "guesses 1/1h", 1)
		config = strings.Replace(config, "# trusted_proxies static 192.0.2.0/24",
			"trusted_proxies static 127.0.0.1/32 ::1/128", 1)
		return strings.Replace(config, "# trusted_proxies_strict", "trusted_proxies_strict", 1)
	})
	c := s.Client(t, "HTTP/2.0")
	for i, want := range []struct {
		client string
		status int
	}{{"203.0.113.1", 401}, {"203.0.113.2", 401}, {"203.0.113.1", 429}, {"2001:db8::1", 401}, {"2001:db8::2", 429}} {
		got := s.SellAs(t, c, fmt.Sprint("guess-", i), "X-Forwarded-For", want.client)
		if got.StatusCode != want.status {
			t.Errorf("guess %d of %s: got %d, want %d", i, want.client, got.StatusCode, want.status)
		}
	}
}
