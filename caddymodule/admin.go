package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/caddymodule/explain"
	"hoko.to/edge/caddymodule/health"
	"hoko.to/edge/caddymodule/version"
)

// adminState serves the version and the state of all backends at /hoko and /hoko/ of the admin
// endpoint, why requests were rejected at /hoko/explain, the buckets of a key at /hoko/limits, and
// health at /hoko/health/live and /hoko/health/ready.
type adminState struct{}

func (adminState) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.hoko", New: func() caddy.Module { return new(adminState) }}
}

func (s adminState) Routes() []caddy.AdminRoute {
	handler := caddy.AdminHandlerFunc(s.serve)
	return []caddy.AdminRoute{
		{Pattern: "/hoko", Handler: handler}, {Pattern: "/hoko/", Handler: handler},
		{Pattern: "/hoko/explain", Handler: caddy.AdminHandlerFunc(explain.Serve)},
		{Pattern: "/hoko/limits", Handler: caddy.AdminHandlerFunc(explain.ServeLimits)},
		{Pattern: "/hoko/limits/reset", Handler: caddy.AdminHandlerFunc(explain.ServeReset)},
	}
}

func (adminState) serve(w http.ResponseWriter, r *http.Request) error {
	if !health.Allowed(r.Method) {
		w.Header().Set("Allow", health.Allow)
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("method not allowed")}
	}
	switch strings.TrimSuffix(r.URL.Path, "/") {
	case "/hoko":
		w.Header().Set("Content-Type", "application/json")
		return json.NewEncoder(w).Encode(struct {
			Version  version.Info    `json:"version"`
			Backends []backend.State `json:"backends"`
			Denied   explain.Denied  `json:"denied"`
		}{version.Read(), backend.States(), explain.MostDenied()})
	case "/hoko/health/live":
		return health.Live.Write(w)
	case "/hoko/health/ready":
		return health.Ready().Write(w)
	}
	return caddy.APIError{HTTPStatus: http.StatusNotFound,
		Err: errors.New("no such path: use /hoko/, /hoko/explain, /hoko/limits, /hoko/health/live or " +
			"/hoko/health/ready")}
}

// Interface guard
var _ caddy.AdminRouter = adminState{}
