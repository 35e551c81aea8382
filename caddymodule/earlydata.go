package caddymodule

import "net/http"

// isEarlyData reports whether the request may be a replay. Any Early-Data header counts as "1" (RFC
// 8470, section 5.1).
func isEarlyData(r *http.Request) bool {
	if r.TLS != nil && !r.TLS.HandshakeComplete {
		return true
	}
	return len(r.Header["Early-Data"]) > 0
}
