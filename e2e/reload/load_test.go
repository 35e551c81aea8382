package reload

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"hoko.to/edge/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

func isHTTP1(c *http.Client) bool {
	transport, ok := c.Transport.(*http.Transport)
	return ok && !transport.ForceAttemptHTTP2
}

// load has clients of each protocol send sales and pages until its stop is called, which returns
// how many sales were answered 201. Anything else fails the test. sale is sent a value for sales
// that are answered while somebody waits for one.
func load(t *testing.T, s *harness.Stack, clients int) (sale <-chan struct{}, stop func() int64) {
	var (
		done   atomic.Bool
		sold   atomic.Int64
		group  sync.WaitGroup
		signal = make(chan struct{})
	)
	for _, protocol := range harness.Protocols {
		for range clients {
			c := s.Client(t, protocol)
			group.Go(func() {
				defer c.CloseIdleConnections()
				for !done.Load() {
					if err := sellAndLook(s, c, &sold); err != nil {
						t.Errorf("%s: %v", protocol, err)
						return
					}
					select {
					case signal <- struct{}{}:
					default:
					}
				}
			})
		}
	}
	return signal, func() int64 { done.Store(true); group.Wait(); return sold.Load() }
}

// sellAndLook counts the sale as soon as it is answered, whatever becomes of the page.
func sellAndLook(s *harness.Stack, c *http.Client, sold *atomic.Int64) error {
	sale := func() (*http.Request, error) {
		return http.NewRequest("POST", s.URL("/api/track/sale"), strings.NewReader(harness.ValidSale))
	}
	headers := []string{"Authorization", "Bearer " + harness.FullKey}
	if isHTTP1(c) { // elsewhere what is sent again was not processed: else it would be there twice
		headers = append(headers, "Idempotency-Key", rand.Text())
	}
	if err := retried(c, sale, 201, headers...); err != nil {
		return err
	}
	sold.Add(1)
	page := func() (*http.Request, error) { return http.NewRequest("GET", s.URL("/page"), nil) }
	return retried(c, page, 200)
}

// retried sends a request, and again where it met a server that shuts down and that is for the
// client to do.
func retried(c *http.Client, request func() (*http.Request, error), status int, headers ...string) error {
	for guard := time.Now().Add(harness.HangGuard); ; {
		req, err := request()
		if err != nil {
			return err
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := c.Do(req)
		if meetsShutdown(c, err) && time.Now().Before(guard) {
			continue
		}
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != status {
			return errors.New(res.Status)
		}
		return nil
	}
}

// meetsShutdown tells the errors after which a client sends again. Over HTTP/1.1 a connection is
// closed on which a request may just be on its way, which that protocol cannot tell. Over HTTP/3
// the request was rejected unprocessed (RFC 9114, 4.1.1) or never sent: Go's client sends it again
// by itself, but once only, and the next connection may be to the same server. Over HTTP/2 any
// failure counts.
func meetsShutdown(c *http.Client, err error) bool {
	if err == nil {
		return false
	}
	if isHTTP1(c) {
		return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	}
	if rejected, ok := errors.AsType[*http3.Error](err); ok {
		return rejected.Remote && rejected.ErrorCode == http3.ErrCodeRequestRejected
	}
	return strings.HasSuffix(err.Error(), "http3: conn unusable: connection in graceful shutdown") // of no exported type
}

func TestReloadUnderLoadLosesNoRequest(t *testing.T) {
	for name, edit := range map[string]func(string) string{
		"of the same settings": nil,
		"of other settings":    harness.Replace("ttl 60s", "ttl 61s"),
	} {
		t.Run(name, func(t *testing.T) {
			s := harness.StartStack(t, harness.Replace("limit 600/1m", "limit 1000000/1m"))
			sale, stop := load(t, s, 2)
			for i := range 5 {
				for range 10 { // sales flow before each reload
					select {
					case <-sale:
					case <-time.After(harness.HangGuard):
						t.Fatal("no sale is answered")
					}
				}
				s.WriteCaddyfile(t, func(config string) string {
					config = strings.Replace(config, "limit 600/1m", "limit 1000000/1m", 1)
					if edit != nil && i%2 == 0 {
						config = edit(config)
					}
					return config
				})
				s.Reload(t)
			}
			if sold := stop(); int64(s.DB.Sales()) != sold {
				t.Fatalf("%d sales in the table, %d were answered 201", s.DB.Sales(), sold)
			}
		})
	}
}

func TestARevokedKeyIsRefusedAfterAReload(t *testing.T) {
	s := harness.StartStack(t, harness.Replace("ttl 60s", "ttl 1h"))
	c := s.Client(t, "HTTP/1.1")
	harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK)
	s.Reload(t)
	s.DB.Exec("UPDATE hoko.api_keys SET revoked_at = now() WHERE id = $1", harness.KeyID(harness.FullKey))
	s.UntilRejected(t, c)
}
