package caddymodule

import (
	"crypto/tls"
	"net/http"
	"testing"
)

func TestIsEarlyData(t *testing.T) {
	afterHandshake, header := &tls.ConnectionState{HandshakeComplete: true}, http.Header{"Early-Data": {"1"}}
	for name, tc := range map[string]struct {
		tls    *tls.ConnectionState
		header http.Header
		early  bool
	}{
		"plain HTTP":                  {},
		"after the handshake":         {tls: afterHandshake},
		"during the handshake":        {tls: &tls.ConnectionState{}, early: true},
		"Early-Data":                  {tls: afterHandshake, header: header, early: true},
		"Early-Data, over plain HTTP": {header: header, early: true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isEarlyData(&http.Request{TLS: tc.tls, Header: tc.header}); got != tc.early {
				t.Errorf("isEarlyData returned %v", got)
			}
		})
	}
}
