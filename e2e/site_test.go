package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// site is what stands behind the edge. It remembers what reached it.
type site struct {
	*httptest.Server
	mu   sync.Mutex
	seen []siteRequest
}

type siteRequest struct {
	Method, URI string
	Header      http.Header
	Body        string
}

// startSite answers everything with 200 and the path; handlers answer instead where their path is asked for.
func startSite(t testing.TB, handlers map[string]http.HandlerFunc) *site {
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handler, ok := handlers[r.URL.Path]; ok {
			handler(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.seen = append(s.seen, siteRequest{r.Method, r.RequestURI, r.Header.Clone(), string(body)})
		s.mu.Unlock()
		w.Header().Set("X-Site", "yes")
		io.WriteString(w, "site "+r.Method+" "+r.RequestURI)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) upstream() string { return strings.TrimPrefix(s.URL, "http://") }

func (s *site) requests() []siteRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]siteRequest(nil), s.seen...)
}
