package reload

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
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

// load makes clients of each protocol send sales and page requests until stop, which returns the
// number of 201s. Any error fails the test. A receive from sale returns after the next sale.
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
					if err := sellAndBrowse(s, c, &sold); err != nil {
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

// sellAndBrowse counts the sale as soon as it is answered, even if the page then fails.
func sellAndBrowse(s *harness.Stack, c *http.Client, sold *atomic.Int64) error {
	sale := func() (*http.Request, error) {
		return http.NewRequest("POST", s.URL("/api/track/sale"), strings.NewReader(harness.ValidSale))
	}
	headers := []string{"Authorization", "Bearer " + harness.FullKey}
	if isHTTP1(c) { // with other protocols a retried request was not processed, or it would be recorded twice
		headers = append(headers, "Idempotency-Key", rand.Text())
	}
	if err := retry(c, sale, 201, headers...); err != nil {
		return err
	}
	sold.Add(1)
	page := func() (*http.Request, error) { return http.NewRequest("GET", s.URL("/page"), nil) }
	return retry(c, page, 200)
}

// retry sends a request, and repeats it after an error of a shutdown that clients must handle.
func retry(c *http.Client, request func() (*http.Request, error), status int, headers ...string) error {
	for guard := time.Now().Add(harness.HangGuard); ; {
		req, err := request()
		if err != nil {
			return err
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		opened := false
		trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { opened = true }}
		res, err := c.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
		// The old configuration's socket resets connections in its queue, and so nothing was sent.
		neverOpened := !opened && errors.Is(err, syscall.ECONNRESET)
		if (neverOpened || isShutdown(c, err)) && time.Now().Before(guard) {
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

// isShutdown reports whether a client must retry after err. HTTP/1.1 cannot tell whether a request
// was in flight when the connection closed. HTTP/3 rejected the request unprocessed (RFC 9114,
// 4.1.1) or never sent it: Go's client retries only once, and its next connection may reach the
// same server. HTTP/2 allows no such error on a connection that is open.
func isShutdown(c *http.Client, err error) bool {
	if err == nil {
		return false
	}
	if isHTTP1(c) {
		return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	}
	if rejected, ok := errors.AsType[*http3.Error](err); ok {
		return rejected.Remote && rejected.ErrorCode == http3.ErrCodeRequestRejected
	}
	return strings.HasSuffix(err.Error(), "http3: conn unusable: connection in graceful shutdown") // unexported type
}

func TestReload_UnderLoadLosesNoRequest(t *testing.T) {
	for name, edit := range map[string]func(string) string{
		"of the same settings": nil,
		"of other settings":    harness.Replace("ttl 60s", "ttl 61s"),
	} {
		t.Run(name, func(t *testing.T) {
			s := harness.StartStack(t, harness.Replace("limit 600/1m", "limit 1000000/1m"))
			sale, stop := load(t, s, 2)
			for i := range 5 {
				for range 10 { // wait for sales before each reload
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

func TestReload_RevokedKeyIsRejected(t *testing.T) {
	s, c := harness.StartStackAndClient(t, "HTTP/1.1", harness.Replace("ttl 60s", "ttl 1h"))
	harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK)
	s.Reload(t)
	s.DB.Exec("UPDATE hoko.api_keys SET revoked_at = now() WHERE id = $1", harness.KeyID(harness.FullKey))
	s.UntilRejected(t, c)
}
