package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

var guessedKeys = flag.Int("hostile.keys", 10_000, "random keys that are tried from one address, and again from many")

// clientFrom is a client whose requests come from this address.
func (e *edge) clientFrom(t testing.TB, address string) *http.Client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c := &http.Client{Timeout: hangGuard, Transport: &http.Transport{
		TLSClientConfig: e.tls(t),
		TLSNextProto:    map[string]func(string, *tls.Conn) http.RoundTripper{},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, e.address())
		},
	}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// loopback is the n-th of the addresses that are this machine's, the one that other tests use aside.
func loopback(n int) string {
	return net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n)).String()
}

// try sends a key and returns the status; headers come in pairs.
func (e *edge) try(ctx context.Context, c *http.Client, key string, headers ...string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", e.url("/api/track/sale"), strings.NewReader(validSale))
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

// guess tries as many random keys as the flag says, from each client in turn,
// and counts the answers. Any but 401, 429 and 503 fail the test.
func (e *edge) guess(t *testing.T, clients []*http.Client) map[int]int {
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
				status, err := e.try(t.Context(), clients[n%len(clients)], fmt.Sprint("hoko_guess_", n, "_", t.Name()), "X-Forwarded-For", loopback(n))
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

// lookups is how often Postgres was asked for a key that it did not have, and for any.
func (e *edge) lookups(t testing.TB) (unknown, all int) {
	t.Helper()
	for _, sample := range regexp.MustCompile(`(?m)^hoko_key_lookups_total{result="(\w+)"} (\d+)$`).FindAllStringSubmatch(string(e.adminGet(t, "/metrics")), -1) {
		n, err := strconv.Atoi(sample[2])
		if err != nil {
			t.Fatal(err)
		}
		if all += n; sample[1] == "not_found" {
			unknown = n
		}
	}
	return unknown, all
}

// memory is what lives on the heap after a collection, and what the process holds, in MiB.
func (e *edge) memory(t testing.TB) (heap, resident int) {
	t.Helper()
	e.adminGet(t, "/debug/pprof/heap?gc=1")
	profile := e.adminGet(t, "/debug/pprof/heap?gc=1&debug=1")
	found := regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`).FindSubmatch(profile)
	if found == nil {
		t.Fatal("the profile does not say how large the heap is")
	}
	allocated, _ := strconv.Atoi(string(found[1]))
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", e.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(string(bytes.Fields(statm)[1]))
	if err != nil {
		t.Fatal(err)
	}
	return allocated >> 20, pages * os.Getpagesize() >> 20
}

func TestAFloodOfGuessesReachesPostgresAsATrickleAndKeysGoOnWorking(t *testing.T) {
	for _, flood := range []struct {
		name            string
		clients, budget int
	}{{"from one address", 1, 60}, {"from many addresses", 500, 3}} {
		t.Run(flood.name, func(t *testing.T) {
			s := startStack(t, func(config string) string {
				return strings.NewReplacer("limit 600/1m", "limit 1000000/1m", "\tlog\n", "\tlog {\n\t\toutput discard\n\t}\n",
					"guesses 60/1m", fmt.Sprintf("guesses %d/24h", flood.budget)).Replace(config)
			})
			clients := make([]*http.Client, flood.clients)
			for i := range clients {
				clients[i] = s.clientFrom(t, loopback(i))
			}
			guesser, fresh := clients[0], make([]string, 50)
			for i := range fresh {
				fresh[i] = fmt.Sprint("hoko_real_key_", i)
				s.db.key(fresh[i], "conversionsWrite")
			}
			s.wantStatus(t, 201, guesser, fullKey)
			heap, resident := s.memory(t)

			flooded := make(chan map[int]int, 1)
			go func() { flooded <- s.guess(t, clients) }()
			real, busy, statuses := 0, 0, map[int]int(nil)
			for ; statuses == nil || real < len(fresh); real++ {
				s.wantStatus(t, 201, guesser, fullKey) // cached: its address may guess as it likes
				if real < len(fresh) {
					busy += s.getsThrough(t, s.clientFrom(t, loopback(100_000+real)), fresh[real])
				}
				select {
				case statuses = <-flooded:
				default:
				}
			}
			s.wantStatus(t, 429, guesser, "hoko_one_guess_more")
			unknown, all := s.lookups(t)
			for _, c := range clients {
				c.CloseIdleConnections()
			}
			heapAfter, residentAfter := s.memory(t)
			t.Logf("%d keys: answers %v, %d lookups that found nothing of %d; %d rounds of real keys meanwhile, %d 503s of fresh ones; heap %d to %d MiB, process %d to %d MiB",
				*guessedKeys, statuses, unknown, all, real, busy, heap, heapAfter, resident, residentAfter)
			if most := flood.budget * flood.clients; unknown > most {
				t.Errorf("%d lookups found nothing, all budgets together hold %d", unknown, most)
			}
			if heapAfter-heap > 32 || residentAfter-resident > 256 {
				t.Errorf("the heap grew from %d to %d MiB, the process from %d to %d MiB", heap, heapAfter, resident, residentAfter)
			}
			s.wantIndexProbes(t, all)
		})
	}
}

// wantStatus sends a key, once.
func (s *stack) wantStatus(t *testing.T, want int, c *http.Client, key string) {
	t.Helper()
	if status, err := s.try(t.Context(), c, key); err != nil || status != want {
		t.Fatalf("%.15s…: got %d, want %d, %v", key, status, want, err)
	}
}

// getsThrough sends a key that the edge has not seen yet until it is admitted, and returns how
// many 503s came before that: where there was no place for its lookup in half a second, a client
// asks again. Places are given in turn, so that no more than a machine that stalls keeps it waiting.
func (s *stack) getsThrough(t *testing.T, c *http.Client, key string) (busy int) {
	t.Helper()
	const tries = 5
	for ; busy < tries; busy++ {
		switch status, err := s.try(t.Context(), c, key); {
		case err == nil && status == 201:
			return busy
		case err != nil || status != 503:
			t.Fatalf("%.15s…: got %d %v", key, status, err)
		}
	}
	t.Fatalf("%.15s…: %d tries, and each got 503", key, tries)
	return busy
}

// wantIndexProbes asks Postgres itself how often the index of keys was read.
// Its sessions report that when they end, at the latest.
func (s *stack) wantIndexProbes(t *testing.T, most int) {
	t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.ended
	poll(t, "the edge's sessions have ended", func() bool {
		return s.db.count("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hoko-edge' AND datname = current_database()") == 0
	})
	probes := s.db.count("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'api_keys_key_hash_key'")
	if probes == 0 || probes > most {
		t.Errorf("Postgres counted %d probes of the index, the edge %d lookups", probes, most)
	}
}
