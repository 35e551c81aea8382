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

// Response is the response to a request.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

// NewClient returns a client that keeps up to idle connections open and does not verify
// certificates.
func NewClient(idle int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: idle == 0, MaxIdleConnsPerHost: idle, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
}

// Send sends a request once. It returns an error if the status is none of the given ones; without
// any, every status is expected.
func Send(ctx context.Context, c *http.Client, url string, r load.Request, statuses ...int) (Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, url+r.Path, strings.NewReader(r.Body))
	if err != nil {
		return Response{}, err
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	res, err := c.Do(req)
	if err != nil {
		return Response{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && len(statuses) > 0 && !slices.Contains(statuses, res.StatusCode) {
		err = fmt.Errorf("%s %s: status %d, want %d: %s", r.Method, r.Path, res.StatusCode, statuses, body)
	}
	return Response{res.StatusCode, res.Header, string(body)}, err
}

// handlerHeaders returns the names of the headers that handlers set. Every Caddy sends the others.
func (r Response) handlerHeaders() (names []string) {
	for name := range r.Header {
		if !slices.Contains([]string{"Date", "Server", "Alt-Svc", "Content-Length", "Connection"}, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
