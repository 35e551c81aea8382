package backend

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/ratelimit"
)

// What a limit is by. Any other text has placeholders, and each text that they expand to has a
// bucket.
const (
	ByKey       = "key"
	ByWorkspace = "workspace"
	ByClientIP  = "client_ip" // an IPv4 address, or the /64 of an IPv6 address
	ByRoute     = "route"     // one bucket for all requests
)

// Limit is a limit of a redis_rate_limit. Handlers whose limits have the same name share buckets.
type Limit struct {
	Name    string
	By      string
	Limit   limit.Limit // of keys without their own
	Cost    string      // of a request: a number, or a placeholder; default: 1
	OnError ratelimit.OnError
	// Grouped is whether it is decided together with limits of the workspace, so that its buckets
	// are where those are.
	Grouped bool
	// Overridable is whether the limit of a key or of its workspace replaces it.
	Overridable bool
}

// OfOwner reports whether the buckets belong to a key or a workspace.
func (l *Limit) OfOwner() bool { return l.By == ByKey || l.By == ByWorkspace }

// OwnerRequest returns what a request with this key takes from the bucket of the key or workspace.
func (l *Limit) OwnerRequest(key *apikey.Key) ratelimit.Request {
	r := ratelimit.Request{Name: l.Name, Bucket: key.Hash, OnError: l.OnError}
	if l.Grouped {
		r.Group = hashOf(ByWorkspace, key.WorkspaceID)
	}
	if l.By == ByWorkspace {
		r.Bucket = r.Group
	}
	if r.Limit = l.Limit; l.Overridable {
		r.Limit = cmp.Or(key.Limit, l.Limit)
	}
	return r
}

// OtherRequest returns what a request takes from the bucket of an address, a route or a text.
func (l *Limit) OtherRequest(r *http.Request) ratelimit.Request {
	request := ratelimit.Request{Name: l.Name, Limit: l.Limit, OnError: l.OnError}
	switch l.By {
	case ByRoute:
	case ByClientIP:
		client, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
		request.Bucket = hashOf(ByClientIP, apikey.ClientAddr(client).String())
	default:
		request.Bucket = hashOf("", replacer(r).ReplaceAll(l.By, ""))
	}
	return request
}

// CostOf returns what a request costs: 0 if the limit does not apply to it, and 1 if the text of a
// placeholder is not a number.
func (l *Limit) CostOf(r *http.Request) int {
	if l.Cost == "" {
		return 1
	}
	cost, err := strconv.Atoi(replacer(r).ReplaceAll(l.Cost, ""))
	if cost < 0 || err != nil && !errors.Is(err, strconv.ErrRange) {
		return 1
	}
	return cost // also if it is out of range, as it is then the highest int
}

func replacer(r *http.Request) *caddy.Replacer {
	return r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
}

func hashOf(kind, text string) [sha256.Size]byte {
	return sha256.Sum256(append(append(make([]byte, 0, 128), kind...), text...))
}
