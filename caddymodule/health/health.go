// Package health reports whether the edge is ready for requests, on the admin endpoint and with the
// handler hoko_health.
package health

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"

	"hoko.to/edge/caddymodule/backend"
)

// Report is the body of an answer.
type Report struct {
	// Status is ok, degraded, starting before the first config has started, or stopping once the
	// process is exiting.
	Status string `json:"status"`
	// Degraded names the parts that are down: postgres, redis or site.
	Degraded []string `json:"degraded,omitempty"`
}

// Live is the report of a process that answers.
var Live = Report{Status: "ok"}

// Ready reports whether requests should be sent to this edge. A part that is down does not make it
// unready: its outage would remove every edge, and the site with them.
func Ready(ctx context.Context) Report {
	switch {
	case caddy.Exiting():
		return Report{Status: "stopping"}
	case caddy.ActiveContext().Context == nil:
		return Report{Status: "starting"}
	}
	var down []string
	if b := backend.Active(); b != nil {
		down = b.Down(ctx)
	}
	if siteFailedLately() {
		down = append(down, "site")
	}
	if len(down) > 0 {
		return Report{Status: "degraded", Degraded: down}
	}
	return Report{Status: "ok"}
}

// Write answers with the report: 503 if it is starting or stopping, otherwise 200.
func (r Report) Write(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if r.Status == "starting" || r.Status == "stopping" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	return json.NewEncoder(w).Encode(r)
}

// siteMemory is how long the site counts as down after a request that could not reach it.
const siteMemory = 10 * time.Second

// siteFailedAt is the time of the last request that did not reach the site, in Unix nanoseconds.
var siteFailedAt atomic.Int64

// SiteFailed records that a request did not reach the site.
func SiteFailed() { siteFailedAt.Store(time.Now().UnixNano()) }

func siteFailedLately() bool { return time.Since(time.Unix(0, siteFailedAt.Load())) < siteMemory }
