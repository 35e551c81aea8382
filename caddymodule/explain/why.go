package explain

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/ratelimit"
)

// Why returns in plain sentences why the request was answered like this, and what to do next.
func (e *Event) Why() (why, next string) {
	switch {
	case e.Cause == "":
		return e.whySlow()
	case e.Cause == "client_gone":
		return fmt.Sprintf("The client disconnected after %.3g s, before it was answered.", e.Duration),
			"Its timeout may be too short. " + e.longest()
	case e.Part == "auth":
		why, next = e.whyAuth()
	case e.Part == "limit":
		why, next = e.whyLimit()
	case e.Part == "sale":
		why, next = e.whySale()
	default:
		why, next = e.whySite()
	}
	if e.Status >= 500 {
		next += "The error is in the log of this edge, in the lines with uuid " + e.RequestID + "."
	}
	return why, next
}

func (e *Event) whyAuth() (why, next string) {
	switch apikey.Cause(e.Cause) {
	case apikey.CauseMissing:
		return "The request has no key in its Authorization header.",
			"Send Authorization: Bearer <key>. A key in the address, the body or another header does not count."
	case apikey.CauseMalformed:
		return "The Authorization header is not one key: it was sent twice, or has a space, more than 256 bytes " +
			"or bytes that are not printable.", "Send Authorization: Bearer <key>, once."
	case apikey.CauseUnknown:
		return "No key is the one that was sent" + foundText(e.KeyFound) + ".",
			"Check the key of the caller: caddy hoko explain - reads it from standard input."
	case apikey.CauseRevoked:
		return "The key is revoked" + foundText(e.KeyFound) + ".",
			"Give the caller another key, or take the revocation back: caddy hoko keys unrevoke " + e.KeyID
	case apikey.CauseExpired:
		return "The key has expired" + foundText(e.KeyFound) + ".",
			"Give the caller another key, or extend this one: caddy hoko keys update " + e.KeyID + " --expires 90d"
	case apikey.CauseWorkspaceDisabled:
		return "The workspace of the key is disabled" + foundText(e.KeyFound) + ".",
			"Enable it: caddy hoko workspaces enable " + e.WorkspaceID
	case apikey.CauseHostNotAllowed:
		return e.whyHost()
	}
	switch e.Cause {
	case "missing_scopes":
		return e.whyScopes()
	case "guesses_spent":
		return fmt.Sprintf("The address of the client has spent its budget of unknown keys (%s), and the key of this "+
				"request is not cached.", e.Limit.Limit),
			"The budget admits again at " + timeText(e.Limit.AdmitsAt) + ". If many callers get this, they share an " +
				"address: set trusted_proxies to your load balancer."
	case "early_data":
		return "The request was sent as TLS early data, which can be replayed.",
			"Clients repeat it by themselves after the handshake."
	case "unavailable":
		return "The key is not cached, or was checked too long ago, and Postgres has not answered in time.",
			"Run caddy hoko doctor. "
	}
	return e.whyOther()
}

func foundText(found apikey.Found) string {
	switch found {
	case apikey.FoundByLookup:
		return ", says Postgres"
	case apikey.FoundInCache:
		return ", says the cache of the edge"
	case apikey.FoundStale:
		return ", says the cache of the edge, as Postgres did not answer"
	case apikey.FoundMissing:
		return "; the edge remembers that from a lookup in the last 5 seconds"
	}
	return ""
}

func (e *Event) whyHost() (why, next string) {
	if e.Host == nil {
		return "The key may not be used on this page.", ""
	}
	allowed := strings.Join(e.Host.Allowed, ", ")
	if e.Host.More > 0 {
		allowed += fmt.Sprintf(" and %d more", e.Host.More)
	}
	return fmt.Sprintf("The page that sent the request is on %s, and the key allows %s.",
			cmp.Or(e.Host.From, "no valid host name"), allowed),
		"If the page may use the key, name all its hosts: caddy hoko keys update " + e.KeyID + " --hostnames <host,...>"
}

func (e *Event) whyScopes() (why, next string) {
	return fmt.Sprintf("The key lacks %s; the route requires %s.",
			strings.Join(e.Missing, ", "), strings.Join(e.Required, ", ")),
		"If the caller may do this, name all scopes of the key: caddy hoko keys update " + e.KeyID +
			" --scopes <scope,...>"
}

func (e *Event) whyLimit() (why, next string) {
	switch e.Cause {
	case "rate_limit":
		return fmt.Sprintf("The bucket %s (%s) of the key was empty, says %s.",
				e.Limit.Name, e.Limit.Limit, sourceText(e.Limit.Source)),
			fmt.Sprintf("It admits again at %s. Raise the limit with caddy hoko keys update %s --limit <rate>/<period>",
				timeText(e.Limit.AdmitsAt), e.KeyID)
	case "in_flight":
		return "This edge was serving as many requests of the key or its workspace as max_in_flight allows.",
			"Look for slow requests of the key: site_duration in the access log. Or raise max_in_flight."
	case "unavailable":
		return fmt.Sprintf("Redis does not decide about the limit %s, and its on_error is deny.", e.Limit.Name),
			"Fix Redis (run caddy hoko doctor), or set on_error local. "
	}
	return e.whyOther()
}

func sourceText(source ratelimit.Source) string {
	switch source {
	case ratelimit.FromRedis:
		return "Redis"
	case ratelimit.FromMemory:
		return "Redis less than a second before"
	}
	return "this edge, as Redis does not answer"
}

func (e *Event) whySale() (why, next string) {
	switch e.Cause {
	case "missing_scopes":
		return e.whyScopes()
	case "invalid", "aborted":
		return "The request is not a valid sale: " + e.Reason + ".",
			"The caller has the same text in Hoko-Reason; docs/api.md has the rules."
	case "idempotency_mismatch":
		return "The Idempotency-Key belongs to an earlier request with another body.",
			"The caller must send a new Idempotency-Key for another sale."
	case "encoding":
		return "The body has a Content-Encoding.", "Send it without compression."
	case "too_large":
		return "The body is larger than 64 KiB.", "Send less metadata."
	case "timeout":
		return "The body has not arrived in time.", "Check the network of the caller, or raise body_timeout."
	case "unavailable":
		return "The sale is not recorded: Postgres does not answer, or the edge sheds load.",
			"The caller may retry. Run caddy hoko doctor; if hoko_sale_shed_total grows, see docs/overload.md. "
	case "unknown_outcome":
		return fmt.Sprintf("Postgres has not confirmed the sale %s in time: it may be recorded.", e.SaleID),
			"The caller must retry with the same Idempotency-Key; hoko.sales has the sale if it is recorded. "
	}
	return e.whyOther()
}

func (e *Event) whySite() (why, next string) {
	switch e.Cause {
	case "host":
		return "No site of this edge has the host name that the request names.",
			"List all names in SITE_ADDRESS."
	case "bad_gateway":
		return "The site could not be reached, or has broken off its answer.", "Check the site. "
	case "gateway_timeout":
		return "The site has not answered in time.", "Check the site. "
	}
	return e.whyOther()
}

func (e *Event) whyOther() (why, next string) {
	return "The edge answered " + strings.ReplaceAll(e.Cause, "_", " ") + ".", ""
}

// whySlow explains a request that was answered as asked.
func (e *Event) whySlow() (why, next string) {
	return fmt.Sprintf("The request was answered, but took %.3g s. %s", e.Duration, e.longest()),
		"docs/operations.md, \"Find one request\", says what to compare it with."
}

// longest says what took most of the time.
func (e *Event) longest() string {
	longest, in, rest := 0., "", e.Duration
	for _, part := range []struct {
		took float64
		name string
	}{
		{e.AuthDuration, "in auth: Postgres looked the key up"},
		{e.LimitDuration, "in limit: Redis decided about the limit"},
		{e.QueueDuration, "in queue: the sale waited for other sales, see docs/overload.md"},
		{e.CommitDuration, "in commit: Postgres recorded the sale"},
		{e.SiteDuration, "in site: the site answered, or the client read the answer slowly"},
	} {
		rest -= part.took
		if part.took > longest {
			longest, in = part.took, part.name
		}
	}
	if rest > longest {
		longest, in = rest, "before or between the parts, such as in reading the body"
	}
	return fmt.Sprintf("Most of it, %.3g s, was %s.", longest, in)
}

func timeText(at time.Time) string { return at.UTC().Format(time.RFC3339) }
