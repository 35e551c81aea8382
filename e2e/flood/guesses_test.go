package flood

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

var guessedKeys = flag.Int("hostile.keys", 10_000, "random keys to try from one address, and again from many")

func clientFrom(t testing.TB, e *harness.Edge, address string) *http.Client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c := &http.Client{Timeout: harness.HangGuard, Transport: &http.Transport{
		TLSClientConfig: e.TLS(t),
		TLSNextProto:    map[string]func(string, *tls.Conn) http.RoundTripper{},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, e.Address())
		},
	}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// loopback returns the n-th loopback address, skipping those that other tests use.
func loopback(n int) string {
	return net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n)).String()
}

// try sends a sale with a key and returns the status. headers alternates names and values.
func try(ctx context.Context, e *harness.Edge, c *http.Client, key string, headers ...string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", e.URL("/api/track/sale"), strings.NewReader(harness.ValidSale))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", key)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// guess tries -hostile.keys random keys, from each client in turn, and counts the answers by
// status. Statuses other than 401, 429 and 503 fail the test.
func guess(t *testing.T, e *harness.Edge, clients []*http.Client) map[int]int {
	t.Helper()
	var next atomic.Int64
	var group sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range 32 {
		group.Go(func() {
			for {
				n := int(next.Add(1))
				if n > *guessedKeys {
					return
				}
				status, err := try(t.Context(), e, clients[n%len(clients)], fmt.Sprint("hoko_guess_", n, "_", t.Name()),
					"X-Forwarded-For", loopback(n))
				if err != nil || status != 401 && status != 429 && status != 503 {
					t.Errorf("status %d %v", status, err)
					return
				}
				mu.Lock()
				statuses[status]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return statuses
}

// lookups returns how many lookups found no key, and how many there were.
func lookups(t testing.TB, e *harness.Edge) (unknown, all int) {
	t.Helper()
	lookups := regexp.MustCompile(`(?m)^hoko_key_lookups_total{result="(\w+)"} (\d+)$`)
	for _, sample := range lookups.FindAllStringSubmatch(e.AdminGet(t, "/metrics"), -1) {
		n, err := strconv.Atoi(sample[2])
		testenv.NoError(t, err)
		if all += n; sample[1] == "not_found" {
			unknown = n
		}
	}
	return unknown, all
}

func TestGuessFlood_IsBoundedAndValidKeysWork(t *testing.T) {
	for _, flood := range []struct {
		name            string
		clients, budget int
	}{{"from one address", 1, 60}, {"from many addresses", 500, 3}} {
		t.Run(flood.name, func(t *testing.T) {
			s := harness.StartStack(t, func(config string) string {
				return strings.NewReplacer("limit 600/1m", "limit 1000000/1m", "\tlog\n",
					"\tlog {\n\t\toutput discard\n\t}\n",
					"guesses 60/1m", fmt.Sprintf("guesses %d/24h", flood.budget)).Replace(config)
			})
			clients := make([]*http.Client, flood.clients)
			for i := range clients {
				clients[i] = clientFrom(t, s.Edge, loopback(i))
			}
			guesser, fresh := clients[0], make([]string, 50)
			for i := range fresh {
				fresh[i] = fmt.Sprint("hoko_real_key_", i)
				s.DB.AddKey(fresh[i], "conversionsWrite")
			}
			wantStatus(t, s, 201, guesser, harness.FullKey)
			heap, resident := s.Memory(t)

			flooded := make(chan map[int]int, 1)
			go func() { flooded <- guess(t, s.Edge, clients) }()
			real, busy, statuses := 0, 0, map[int]int(nil)
			for ; statuses == nil || real < len(fresh); real++ {
				wantStatus(t, s, 201, guesser, harness.FullKey) // a cached key is not limited by its address's guesses
				if real < len(fresh) {
					busy += untilAdmitted(t, s, clientFrom(t, s.Edge, loopback(100_000+real)), fresh[real])
				}
				select {
				case statuses = <-flooded:
				default:
				}
			}
			wantStatus(t, s, 429, guesser, "hoko_one_guess_more")
			unknown, all := lookups(t, s.Edge)
			for _, c := range clients {
				c.CloseIdleConnections()
			}
			heapAfter, residentAfter := s.Memory(t)
			t.Logf("%d keys: answers %v, %d of %d lookups found nothing; meanwhile %d rounds of real keys, %d 503s "+
				"of new keys; heap %d to %d MiB, process %d to %d MiB",
				*guessedKeys, statuses, unknown, all, real, busy, heap, heapAfter, resident, residentAfter)
			if most := flood.budget * flood.clients; unknown > most {
				t.Errorf("%d lookups found nothing, want at most the sum of all budgets, %d", unknown, most)
			}
			if heapAfter-heap > 32 || residentAfter-resident > 256 {
				t.Errorf("the heap grew from %d to %d MiB, the process from %d to %d MiB", heap, heapAfter, resident,
					residentAfter)
			}
			wantIndexProbes(t, s, all)
		})
	}
}

func wantStatus(t *testing.T, s *harness.Stack, want int, c *http.Client, key string) {
	t.Helper()
	if status, err := try(t.Context(), s.Edge, c, key); err != nil || status != want {
		t.Fatalf("%.15s…: got %d, want %d, %v", key, status, want, err)
	}
}

// untilAdmitted sends an uncached key until it is admitted and returns the number of 503s before
// that: of lookups that could not start within half a second. They start in order, so only a
// stalled machine causes several.
func untilAdmitted(t *testing.T, s *harness.Stack, c *http.Client, key string) (busy int) {
	t.Helper()
	const tries = 5
	for ; busy < tries; busy++ {
		switch status, err := try(t.Context(), s.Edge, c, key); {
		case err == nil && status == 201:
			return busy
		case err != nil || status != 503:
			t.Fatalf("%.15s…: got %d %v", key, status, err)
		}
	}
	t.Fatalf("%.15s…: %d tries all got 503", key, tries)
	return busy
}

// wantIndexProbes checks that Postgres counted at most this many reads of the key index. Its
// sessions report their counts when they end, at the latest.
func wantIndexProbes(t *testing.T, s *harness.Stack, most int) {
	t.Helper()
	s.Signal(syscall.SIGTERM)
	<-s.Ended
	testenv.Until(t, "the edge's sessions have ended", func() bool {
		return s.DB.Count(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hoko-edge'
			AND datname = current_database()`) == 0
	})
	probes := s.DB.Count("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'api_keys_key_hash_key'")
	if probes == 0 || probes > most {
		t.Errorf("Postgres counted %d reads of the index, the edge %d lookups", probes, most)
	}
}
