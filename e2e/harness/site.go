package harness

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Site is what stands behind the edge. It remembers what reached it.
type Site struct {
	*httptest.Server
	mu   sync.Mutex
	seen []SiteRequest
}

// SiteRequest is a request as it reached the site.
type SiteRequest struct {
	Method, URI string
	Header      http.Header
	Body        string
	Trailer     http.Header
}

// StartSite starts a site that answers everything with 200 and the path; handlers answer instead where their path is asked for.
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

// Upstream is the host and port of the site.
func (s *Site) Upstream() string { return strings.TrimPrefix(s.URL, "http://") }

// Requests are those that have reached the site, without those that handlers answered.
func (s *Site) Requests() []SiteRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]SiteRequest(nil), s.seen...)
}
