package sale

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/apierror"
	"hoko.to/edge/plugin/apikey"
)

// refusal is a 4xx: what is answered, and for a 400 also why.
type refusal struct {
	err    *apierror.Error
	cause  string
	reason string // of the Hoko-Reason header: ASCII, and no value of the client's
}

// The causes of refusals: the closed set of hoko_sale_refusals_total's label.
const (
	causeEncoding = "encoding"
	causeTooLarge = "too_large"
	causeTimeout  = "timeout"
	causeAborted  = "aborted"
	causeInvalid  = "invalid"
	causeMismatch = "idempotency_mismatch"
)

func newRefusals(metrics prometheus.Registerer) *prometheus.CounterVec {
	refusals := register(metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_sale_refusals_total",
		Help: "Requests for a sale that were answered with a 4xx by track_sale, by cause.",
	}, []string{"cause"}))
	for _, cause := range []string{causeEncoding, causeTooLarge, causeTimeout, causeAborted, causeInvalid, causeMismatch} {
		refusals.WithLabelValues(cause) // a rate needs the zero before the first
	}
	return refusals
}

// invalidRequest is the 400 whose reason is this error's text.
func invalidRequest(err error) *refusal {
	return &refusal{err: apierror.InvalidRequest, cause: causeInvalid, reason: err.Error()}
}

// unattributed says which of the three attributions the request lacked. A lead
// or click whose link is gone earns nothing either.
func unattributed(req *Request) error {
	switch {
	case req.LeadEventName != "" && req.ClickID != "":
		return invalid("clickId", "no such click and no lead of that leadEventName, or the link is gone")
	case req.LeadEventName != "":
		return invalid("leadEventName", "the customer has no such lead and no other, or its link is gone")
	case req.ClickID != "":
		return invalid("clickId", "no such click, or its link is gone")
	default:
		return invalid("clickId", "missing, and the customer has no lead, or its link is gone")
	}
}

// refuse answers, counts and logs a refusal. Members and reasons are logged, values never.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, key *apikey.Key, refused *refusal) {
	h.refusals.WithLabelValues(refused.cause).Inc()
	attrs := []slog.Attr{
		slog.Int("status", refused.err.Status),
		slog.String("cause", refused.cause),
		slog.String("workspace_id", key.WorkspaceID),
		slog.String("key_id", key.ID),
	}
	if refused.reason != "" {
		w.Header().Set(apierror.Reason, refused.reason)
		attrs = append(attrs, slog.String("reason", refused.reason))
	}
	h.logger.LogAttrs(r.Context(), slog.LevelInfo, "sale refused", attrs...)
	apierror.Refuse(w, r, func() { apierror.Write(w, refused.err) })
}
