package stage

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"hoko.to/edge/bench/load"
)

// Answer is what a server said.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// NewClient returns a client that keeps up to idle connections and verifies no certificate.
func NewClient(idle int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: idle == 0, MaxIdleConnsPerHost: idle, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
}

// Ask sends a request once and fails unless its status is one of those wanted; none means any.
func Ask(ctx context.Context, c *http.Client, url string, r load.Request, wanted ...int) (a Answer, err error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, url+r.Path, strings.NewReader(r.Body))
	if err != nil {
		return a, err
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	res, err := c.Do(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && len(wanted) > 0 && !slices.Contains(wanted, res.StatusCode) {
		err = fmt.Errorf("%s %s: %d %s, not %d", r.Method, r.Path, res.StatusCode, body, wanted)
	}
	return Answer{res.StatusCode, res.Header, string(body)}, err
}

// names returns those of the headers that a handler has set: the others are every Caddy's.
func (a Answer) names() (names []string) {
	for name := range a.Header {
		if !slices.Contains([]string{"Date", "Server", "Alt-Svc", "Content-Length", "Connection"}, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
