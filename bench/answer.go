package main

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

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request once, over a connection of its own.
func ask(ctx context.Context, url string, r load.Request) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, url+r.Path, strings.NewReader(r.Body))
	if err != nil {
		return a, err
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	res, err := client.Do(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return a, err
	}
	return answer{res.StatusCode, res.Header, string(body)}, nil
}

// askFor is ask where only one status will do.
func askFor(ctx context.Context, status int, url string, r load.Request) (answer, error) {
	a, err := ask(ctx, url, r)
	if err == nil && a.status != status {
		err = fmt.Errorf("%s %s: %d %s, not %d", r.Method, r.Path, a.status, a.body, status)
	}
	return a, err
}

// names are those of the headers that a handler has set: the others are every Caddy's.
func (a answer) names() (names []string) {
	for name := range a.header {
		if !slices.Contains([]string{"Date", "Server", "Alt-Svc", "Content-Length", "Connection"}, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
