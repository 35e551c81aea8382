package caddymodule

import (
	"crypto/tls"
	"net/http"
	"testing"
)

func TestARequestThatSomebodyMayReplayIsEarly(t *testing.T) {
	for name, tc := range map[string]struct {
		tls    *tls.ConnectionState
		header http.Header
		early  bool
	}{
		"plain http":                          {},
		"after the handshake":                 {tls: &tls.ConnectionState{HandshakeComplete: true}},
		"before the end of the handshake":     {tls: &tls.ConnectionState{}, early: true},
		"as a balancer says":                  {tls: &tls.ConnectionState{HandshakeComplete: true}, header: http.Header{"Early-Data": {"1"}}, early: true},
		"as a balancer says, over plain http": {header: http.Header{"Early-Data": {"1"}}, early: true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := early(&http.Request{TLS: tc.tls, Header: tc.header}); got != tc.early {
				t.Errorf("early: %v", got)
			}
		})
	}
}
