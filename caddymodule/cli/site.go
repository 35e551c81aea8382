package cli

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

// openUpstream returns the address of the site that the edge proxies to: UPSTREAM if set, and
// otherwise a demo site that runs until stop is called.
func openUpstream() (upstream string, stop func() error, err error) {
	if upstream := os.Getenv("UPSTREAM"); upstream != "" {
		return upstream, func() error { return nil }, nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("demo site: %w", err)
	}
	site := &http.Server{Handler: http.HandlerFunc(serveDemoSite)}
	go site.Serve(listener) // until it is closed
	return listener.Addr().String(), site.Close, nil
}

// serveDemoSite responds with the request that it receives.
func serveDemoSite(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "This is the demo site behind the edge. It received:\n\n%s %s %s\nHost: %s\n",
		r.Method, r.RequestURI, r.Proto, r.Host)
	r.Header.Write(w)
}
