package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/ratelimit"
)

// adminState is the admin endpoint's GET /hoko/: how the edge's backends are.
type adminState struct{}

// CaddyModule returns the Caddy module information.
func (adminState) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.hoko",
		New: func() caddy.Module { return new(adminState) },
	}
}

// Routes returns the admin endpoint's route.
func (s adminState) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: "/hoko/", Handler: caddy.AdminHandlerFunc(s.serve)}}
}

// backendState is how one of them is. After a reload with other settings there
// are several, until the requests of the old config have ended.
type backendState struct {
	Since time.Time `json:"since"`
	// Configs that have a share in it, those that have just ended included.
	Configs int             `json:"configs"`
	Keys    apikey.Stats    `json:"keys"`
	Limits  ratelimit.Stats `json:"limits"`
	Sales   sales.Stats     `json:"sales"`
}

func (adminState) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("method not allowed")}
	}
	if r.URL.Path != "/hoko/" {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("no such path: there is /hoko/")}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(struct {
		Backends []backendState `json:"backends"`
	}{states()})
}

// states are those of all backends, the oldest first.
func states() []backendState {
	running := make(map[any]*backend)
	backends.Range(func(hash, value any) bool {
		running[hash] = value.(*backend)
		return true
	})
	all := []backendState{}
	for hash, b := range running {
		configs, _ := backends.References(hash)
		all = append(all, backendState{b.since, configs, b.keys.Stats(), b.limiter.Stats(), b.saleStore.Stats()})
	}
	slices.SortFunc(all, func(a, b backendState) int { return a.Since.Compare(b.Since) })
	return all
}

// Interface guard
var _ caddy.AdminRouter = adminState{}
