package harness

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Site is the upstream site of an edge. It records the requests that reach it.
type Site struct {
	*httptest.Server
	mu   sync.Mutex
	seen []SiteRequest
}

// SiteRequest is a request as the site received it.
type SiteRequest struct {
	Method, URI string
	Header      http.Header
	Body        string
	Trailer     http.Header
}

// StartSite starts a site that answers each request with 200, its method and its path. A handler in
// handlers replaces that answer for its path.
func StartSite(t testing.TB, handlers map[string]http.HandlerFunc) *Site {
	s := &Site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handler, ok := handlers[r.URL.Path]; ok {
			handler(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.seen = append(s.seen, SiteRequest{r.Method, r.RequestURI, r.Header.Clone(), string(body), r.Trailer.Clone()})
		s.mu.Unlock()
		w.Header().Set("X-Site", "yes")
		io.WriteString(w, "site "+r.Method+" "+r.RequestURI)
	}))
	t.Cleanup(s.Close)
	return s
}

// Upstream returns the host and port of the site.
func (s *Site) Upstream() string { return strings.TrimPrefix(s.URL, "http://") }

// Requests returns the requests that have reached the site, except those that handlers answered.
func (s *Site) Requests() []SiteRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]SiteRequest(nil), s.seen...)
}

// WantNothingSince fails the test if more than n requests have reached the site.
func (s *Site) WantNothingSince(t testing.TB, n int) {
	t.Helper()
	if seen := s.Requests(); len(seen) > n {
		t.Fatalf("the site saw %v", seen[n:])
	}
}
