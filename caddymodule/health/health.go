// Package health reports whether the edge is ready for requests, on the admin endpoint and with the
// handler hoko_health.
package health

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"hoko.to/edge/caddymodule/backend"
)

// Report is the body of an answer.
type Report struct {
	// Status is ok, degraded, starting before the first config has started, or stopping once the
	// process is exiting.
	Status string `json:"status"`
	// Degraded names the parts that are down: postgres, listener, redis or site.
	Degraded []string `json:"degraded,omitempty"`
}

// Live is the report of a process that answers.
var Live = Report{Status: "ok"}

// Ready reports whether requests should be sent to this edge. A part that is down does not make it
// unready: its outage would remove every edge, and the site with them.
func Ready() Report {
	if caddy.Exiting() {
		return Report{Status: "stopping"}
	}
	b := backend.Active()
	if b == nil {
		return Report{Status: "starting"}
	}
	down := b.Down()
	if siteFailedLately() {
		down = append(down, "site")
	}
	if len(down) > 0 {
		return Report{Status: "degraded", Degraded: down}
	}
	return Report{Status: "ok"}
}

// IsReady reports whether requests should be sent to the edge.
func (r Report) IsReady() bool { return r.Status == "ok" || r.Status == "degraded" }

// Write answers with the report, 200 if it is ready and otherwise 503.
func (r Report) Write(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !r.IsReady() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	return json.NewEncoder(w).Encode(r)
}

// Allow is the header of a 405: the methods with which health can be asked for.
const Allow = "GET, HEAD"

// Allowed reports whether health can be asked for with a method.
func Allowed(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// siteMemory is how long the site counts as down after a request that could not reach it.
const siteMemory = 10 * time.Second

// siteFailedAt is the time of the last request that did not reach the site, nil if there is none.
var siteFailedAt atomic.Pointer[time.Time]

// SiteFailed records the error of a request that should have reached the site. Errors that a client
// can cause, such as a malformed body, do not count.
func SiteFailed(err error) {
	if unreachable(err) {
		siteFailedAt.Store(new(time.Now()))
	}
}

// unreachable reports whether err of reverse_proxy means that no upstream can be dialed or answers.
func unreachable(err error) bool {
	if _, dialing := errors.AsType[reverseproxy.DialError](err); dialing || err.Error() == "no upstreams available" {
		return true
	}
	timeout, isNet := errors.AsType[net.Error](err)
	return isNet && timeout.Timeout()
}

func siteFailedLately() bool {
	at := siteFailedAt.Load()
	return at != nil && time.Since(*at) < siteMemory
}
