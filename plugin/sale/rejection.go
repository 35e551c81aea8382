package sale

import (
	"net/http"

	"hoko.to/edge/plugin/apierror"
	"hoko.to/edge/plugin/apikey"
)

// Rejection is a 4xx that a Handler has answered, for the log.
type Rejection struct {
	Status int
	Cause  string // a value of hoko_sale_refusals_total's label
	Reason string // of a 400, as in its Hoko-Reason header; otherwise ""
}

// rejection is a 4xx to answer.
type rejection struct {
	err    *apierror.Error
	cause  string
	reason string // of a 400: the text of an InvalidError
}

// invalidRequest returns the 400 whose reason is the text of err.
func invalidRequest(err error) *rejection {
	return &rejection{err: apierror.InvalidRequest, cause: causeInvalid, reason: err.Error()}
}

// reject answers and counts a rejection.
func (h *Handler) reject(w http.ResponseWriter, r *http.Request, rejected *rejection) *Rejection {
	h.recorder.metrics.rejections[rejected.cause].Inc()
	if rejected.reason != "" {
		w.Header().Set(apierror.Reason, rejected.reason)
	}
	apierror.Refuse(w, r, func() { apierror.Write(w, rejected.err) })
	return &Rejection{rejected.err.Status, rejected.cause, rejected.reason}
}

// rejectScopes answers and counts a 403. A route may not require the scope in its api_key_auth.
func (h *Handler) rejectScopes(w http.ResponseWriter, r *http.Request, missing []string) *Rejection {
	h.recorder.metrics.rejections[causeScopes].Inc()
	apierror.Refuse(w, r, func() {
		w.Header().Set("WWW-Authenticate", apikey.ScopeChallenge(missing))
		apierror.WriteMissingScopes(w, missing)
	})
	return &Rejection{Status: http.StatusForbidden, Cause: causeScopes}
}
