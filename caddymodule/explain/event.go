// Package explain remembers why the edge rejected requests, which failed and which were slow, and
// which keys their limits deny most. It answers GET /hoko/explain of the admin endpoint. What it
// remembers belongs to the process, so that it survives reloads.
package explain

import (
	"strconv"
	"strings"
	"time"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/ratelimit"
)

// Slow is the time from which on a request is remembered even if it was answered as asked.
const Slow = time.Second

// Event is a request that was rejected, failed or was slow. It has no key, path, query, body or
// client address, and nothing about customers: the words and scopes are the edge's, and the IDs
// those of keys, workspaces and sales. The host name is that of a web page.
type Event struct {
	RequestID   string       `json:"request_id"` // X-Request-Id, and uuid in the access log
	Time        time.Time    `json:"time"`       // when the request began
	Status      int          `json:"status"`
	Part        string       `json:"part"`             // auth, limit, sale or site
	Cause       string       `json:"cause,omitempty"`  // as in the access log; "" if the request was only slow
	Reason      string       `json:"reason,omitempty"` // of a rejected sale, as in Hoko-Reason
	KeyID       string       `json:"key_id,omitempty"`
	WorkspaceID string       `json:"workspace_id,omitempty"`
	KeyFound    apikey.Found `json:"key_found,omitempty"`
	SaleID      string       `json:"sale_id,omitempty"`

	Required []string         `json:"required_scopes,omitempty"` // of a key that lacks some
	Missing  []string         `json:"missing_scopes,omitempty"`
	Host     *apikey.HostRule `json:"host,omitempty"`
	Limit    Limit            `json:"limit,omitzero"`

	// In seconds. A part without a time was not reached, or has no time of its own.
	Duration       float64 `json:"duration"`
	AuthDuration   float64 `json:"auth_duration,omitempty"`
	LimitDuration  float64 `json:"limit_duration,omitempty"`
	QueueDuration  float64 `json:"queue_duration,omitempty"`
	CommitDuration float64 `json:"commit_duration,omitempty"`
	SiteDuration   float64 `json:"site_duration,omitempty"`
}

// Limit is the limit that decided about a request, or for guesses_spent the budget of guesses.
type Limit struct {
	Name      string           `json:"name"`
	Limit     LimitText        `json:"limit"`
	Remaining int              `json:"remaining"`
	AdmitsAt  time.Time        `json:"admits_at,omitzero"` // when a denied key may call again
	FullAt    time.Time        `json:"full_at,omitzero"`
	Source    ratelimit.Source `json:"source,omitempty"`
}

// GuessesName is the name of a Limit that is the budget of guesses of a client address.
const GuessesName = "guesses"

// LimitText is a limit whose JSON is a text, such as "600/1m" or "10/1s burst 5".
type LimitText limit.Limit

func (t LimitText) String() string { return limit.Limit(t).String() }

// MarshalText returns the text.
func (t LimitText) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText sets the limit from its text.
func (t *LimitText) UnmarshalText(text []byte) error {
	rate, burst, other := strings.Cut(string(text), " burst ")
	if rate == "" {
		return nil
	}
	l, err := limit.Parse(rate)
	if err == nil && other {
		l.Burst, err = strconv.Atoi(burst)
	}
	*t = LimitText(l)
	return err
}
