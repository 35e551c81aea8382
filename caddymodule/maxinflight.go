package caddymodule

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/plugin/apikey"
)

// MaxInFlight bounds the requests that an edge serves at the same time.
type MaxInFlight struct {
	// Maximum number of requests in flight. Further ones are answered 429.
	Max int `json:"max"`

	// Whose requests are counted: those of each `key` or of each `workspace`, in all
	// redis_rate_limit handlers with a maximum by the same. Default: key.
	By string `json:"by,omitempty"`
}

// enter counts a request, once if it passes several handlers. Unless it is one too many, the caller
// must call leave when the request ends.
func (m *MaxInFlight) enter(r *http.Request, key *apikey.Key) (admitted bool, leave func()) {
	by, id := backend.ByKey, key.ID
	if m.By == backend.ByWorkspace {
		by, id = m.By, key.WorkspaceID
	}
	counted := "hoko.in_flight." + by
	if caddyhttp.GetVar(r.Context(), counted) == true {
		return backend.Serving.Within(by, id, m.Max), func() {}
	}
	if !backend.Serving.Enter(by, id, m.Max) {
		return false, nil
	}
	caddyhttp.SetVar(r.Context(), counted, true)
	return true, func() { backend.Serving.Leave(by, id) }
}

// checkMaxInFlight returns an error if one makes no sense, or if two are by the same.
func checkMaxInFlight(all []MaxInFlight) error {
	seen := make(map[string]bool)
	for _, m := range all {
		by := cmp.Or(m.By, backend.ByKey)
		switch {
		case m.Max < 1:
			return fmt.Errorf("max_in_flight must be at least 1, not %d", m.Max)
		case by != backend.ByKey && by != backend.ByWorkspace:
			return fmt.Errorf("max_in_flight by %s: want key or workspace", by)
		case seen[by]:
			return fmt.Errorf("max_in_flight by %s is given twice", by)
		}
		seen[by] = true
	}
	return nil
}

// parseMaxInFlight reads the arguments of a max_in_flight subdirective.
func parseMaxInFlight(d *caddyfile.Dispenser) (m MaxInFlight, err error) {
	args := d.RemainingArgs()
	if len(args) == 3 && args[1] == "by" {
		m.By = args[2]
	} else if len(args) != 1 {
		return m, d.Err("max_in_flight must be <number> [by key|workspace]")
	}
	if m.Max, err = strconv.Atoi(args[0]); err != nil {
		return m, d.Errf("max_in_flight must be a whole number, not %q", args[0])
	}
	return m, nil
}
