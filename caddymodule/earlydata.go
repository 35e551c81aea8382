package caddymodule

import "net/http"

// early reports whether the request may be a replay of a recorded one. Any Early-Data header counts
// as "1", as RFC 8470 requires of a server.
func early(r *http.Request) bool {
	if r.TLS != nil && !r.TLS.HandshakeComplete {
		return true
	}
	return len(r.Header["Early-Data"]) > 0
}
