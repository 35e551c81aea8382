package failure

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// While thousands of requests fail, the edge logs at most ten errors in a second for each part and
// status, and counts the others.
func TestLog_BoundedInAnOutage(t *testing.T) {
	dsn := testenv.Database(t)
	s := startOutageStack(t, dsn, "redis://127.0.0.1:1", func(config string) string {
		return strings.Replace(config, "/24h", "/24h\n\t\t\ton_error deny", 1)
	})
	harness.Seed(t, dsn)
	s.site.Close()
	const clients, each = 8, 250
	var group sync.WaitGroup
	began := time.Now()
	for range clients {
		client := s.Client(t, "HTTP/2.0")
		group.Go(func() { // ends before the test does
			for range each {
				s.Call(t, client, "GET", "/page", "")
				s.Sell(t, client, harness.ValidSale)
			}
		})
	}
	group.Wait()
	seconds := int(time.Since(began)/time.Second) + 1
	for _, failed := range []struct {
		logger string
		status int
		path   string
	}{
		{"http.log.error", 502, "/page"},
		{"http.handlers.redis_rate_limit", 503, "/api/track/sale"},
	} {
		lines, _ := failures(t, s.Log.String(), failed.logger, failed.status)
		if most := 10 * seconds; lines == 0 || lines > most {
			t.Errorf("%s: %d lines in %d s", failed.logger, lines, seconds)
		}
		total := clients * each
		testenv.Until(t, "all failures are counted", func() bool {
			got := s.Call(t, s.client, "POST", failed.path, harness.ValidSale, "Authorization", harness.FullKey)
			if got.StatusCode != failed.status {
				t.Fatal(got.StatusCode, got.Text)
			}
			total++
			lines, omitted := failures(t, s.Log.String(), failed.logger, failed.status)
			if lines+omitted > total {
				t.Fatalf("%d lines and %d omitted of %d", lines, omitted, total)
			}
			return lines+omitted == total
		})
	}
}

// failures returns how many errors a logger has logged for a status, and how many it has omitted.
func failures(t *testing.T, log, logger string, status int) (lines, omitted int) {
	t.Helper()
	for text := range strings.Lines(log) {
		if !strings.Contains(text, `"request failed"`) {
			continue
		}
		var line struct {
			Level, Logger, UUID, Error string
			Status, Omitted            int
		}
		testenv.NoError(t, json.Unmarshal([]byte(text), &line))
		if line.Level != "error" || len(line.UUID) != 36 || line.Error == "" {
			t.Fatal(text)
		}
		if line.Logger == logger && line.Status == status {
			lines, omitted = lines+1, omitted+line.Omitted
		}
	}
	return lines, omitted
}
