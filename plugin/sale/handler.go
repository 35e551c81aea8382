package sale

import (
	"bytes"
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"hoko.to/edge/plugin/apierror"
	"hoko.to/edge/plugin/apikey"
)

// HandlerOptions configures a Handler. The zero value of a field selects its default.
type HandlerOptions struct {
	// Recorder records the sales and counts the rejections. It is required; Handlers may share it.
	Recorder *Recorder
	// BodyTimeout is how long a body may take to arrive before the answer is 408. Default: 10 s.
	BodyTimeout time.Duration
	// Logger receives the rejections and failures of ServeHTTP. Default: they are discarded.
	Logger *slog.Logger
}

// WithDefaults returns the options with defaults filled in, or an error if they are invalid.
func (o HandlerOptions) WithDefaults() (HandlerOptions, error) {
	o.BodyTimeout = cmp.Or(o.BodyTimeout, 10*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	switch {
	case o.Recorder == nil:
		return o, errors.New("a sale handler needs a recorder")
	case o.BodyTimeout < 0:
		return o, errors.New("the body timeout must be positive, not " + o.BodyTimeout.String())
	}
	return o, nil
}

// Handler answers POST /api/track/sale for a verified API key. It ignores the method and the path.
type Handler struct {
	recorder    *Recorder
	bodyTimeout time.Duration
	logger      *slog.Logger
	required    apikey.Required
}

// Scope is the scope that a Handler requires.
const Scope = "conversionsWrite"

// NewHandler returns a Handler, or an error if the options are invalid.
func NewHandler(o HandlerOptions) (*Handler, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	required, err := apikey.ParseRequired([]string{Scope})
	if err != nil {
		return nil, err
	}
	return &Handler{recorder: o.Recorder, bodyTimeout: o.BodyTimeout, logger: o.Logger, required: required}, nil
}

// ServeHTTP calls Serve, answers failures, and logs failures and rejections.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	outcome, err := h.Serve(w, r)
	if failure, ok := errors.AsType[*apierror.Failure](err); ok {
		h.logger.LogAttrs(r.Context(), slog.LevelError, "sale failed",
			slog.Int("status", failure.Err.Status), slog.Any("error", failure.Cause))
		apierror.RespondEarly(w, r, func() { apierror.Write(w, failure.Err) })
	}
	if rejected := outcome.Rejection; rejected != nil {
		key, _ := apikey.FromContext(r.Context())
		h.logger.LogAttrs(r.Context(), slog.LevelInfo, "sale rejected",
			slog.Int("status", rejected.Status), slog.String("cause", rejected.Cause),
			slog.String("reason", rejected.Reason),
			slog.String("workspace_id", key.WorkspaceID), slog.String("key_id", key.ID))
	}
}

// Outcome is what Serve did, for the log.
type Outcome struct {
	Rejection *Rejection // the 4xx that it answered, or nil
	Recorded  *Recorded  // the sale that it answered 201, or nil
	SaleID    string     // of Recorded, or of a sale with an unknown outcome
	Timing    Timing     // of a valid request
}

// Serve records the sale and answers 201. If the request is at fault, it answers a 4xx. It does not
// answer a 5xx: it sets Hoko-Sale-Id or Retry-After and returns an *apierror.Failure. The context
// must have a verified key: see apikey.NewContext.
func (h *Handler) Serve(w http.ResponseWriter, r *http.Request) (outcome Outcome, err error) {
	key, ok := apikey.FromContext(r.Context())
	if !ok {
		return Outcome{}, &apierror.Failure{Err: apierror.Internal, Cause: apikey.ErrUnverified}
	}
	if missing := h.required.Missing(key.Scopes); missing != nil {
		return Outcome{Rejection: h.rejectScopes(w, r, missing)}, nil
	}
	req, idempotencyKey, rejected := h.read(w, r)
	if rejected != nil {
		return Outcome{Rejection: h.reject(w, r, rejected)}, nil
	}
	outcome.Recorded, outcome.Timing, err = h.recorder.record(r.Context(), key.WorkspaceID, req, idempotencyKey)
	if err != nil {
		err = h.answerError(w, r, req, err, &outcome)
		return outcome, err
	}
	outcome.SaleID = outcome.Recorded.SaleID.String()
	answer(w, outcome.Recorded, outcome.SaleID)
	return outcome, nil
}

// read reads and checks the request in the order of docs/api.md.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) (*Request, string, *rejection) {
	if !isIdentity(r.Header["Content-Encoding"]) {
		w.Header().Set("Accept-Encoding", "identity")
		return nil, "", &rejection{err: apierror.UnsupportedEncoding, cause: causeEncoding}
	}
	body := bodies.Get().(*bytes.Buffer)
	defer freeBody(body)
	if rejected := h.readBody(body, w, r); rejected != nil {
		return nil, "", rejected
	}
	req, err := Decode(body.Bytes())
	if err != nil {
		return nil, "", invalidRequest(err)
	}
	idempotencyKey, err := parseIdempotencyKey(r.Header["Idempotency-Key"])
	if err != nil {
		return nil, "", invalidRequest(err)
	}
	return req, idempotencyKey, nil
}

// answer writes the 201.
func answer(w http.ResponseWriter, recorded *Recorded, saleID string) {
	buffer := bodies.Get().(*bytes.Buffer)
	defer freeBody(buffer)
	body := AppendResponse(buffer.AvailableBuffer(), recorded)
	buffer.Write(body) // in place, unless it had to grow

	header := w.Header()
	apierror.NoStore(header)
	// One array holds the other values, which saves an allocation for each.
	values := [...]string{
		apierror.ContentType, strconv.Itoa(len(body)), saleID, string(recorded.Attribution),
	}
	header["Content-Type"] = values[0:1:1]
	header["Content-Length"] = values[1:2:2]
	header["Hoko-Sale-Id"] = values[2:3:3]
	header["Hoko-Attribution"] = values[3:4:4]
	if recorded.Replayed {
		header.Set("Idempotency-Replayed", "true")
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body) // the sale is committed even if the client is gone
}

// answerError rejects the request if the caller can fix it, and returns any other error as a 5xx.
func (h *Handler) answerError(
	w http.ResponseWriter, r *http.Request, req *Request, err error, outcome *Outcome,
) error {
	unknown, isUnknown := errors.AsType[*UnknownOutcomeError](err)
	notRecorded, isNotRecorded := errors.AsType[*NotRecordedError](err)
	switch {
	case errors.Is(err, ErrUnattributed):
		outcome.Rejection = h.reject(w, r, invalidRequest(unattributed(req, err)))
		return nil
	case errors.Is(err, ErrIdempotencyMismatch):
		outcome.Rejection = h.reject(w, r, &rejection{err: apierror.IdempotencyMismatch, cause: causeMismatch})
		return nil
	case isUnknown:
		outcome.SaleID = unknown.SaleID.String()
		w.Header().Set("Hoko-Sale-Id", outcome.SaleID)
		return &apierror.Failure{Err: apierror.GatewayTimeout, Cause: err}
	case isNotRecorded:
		apierror.SetExpectedWait(w.Header(), notRecorded.RetryAfter)
		return &apierror.Failure{Err: apierror.Unavailable, Cause: err}
	case errors.Is(err, ErrNotRecorded):
		return &apierror.Failure{Err: apierror.Unavailable, Cause: err}
	default:
		return &apierror.Failure{Err: apierror.Internal, Cause: err}
	}
}

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
		w.Header().Set(apierror.HeaderReason, rejected.reason)
	}
	apierror.RespondEarly(w, r, func() { apierror.Write(w, rejected.err) })
	return &Rejection{rejected.err.Status, rejected.cause, rejected.reason}
}

// rejectScopes answers and counts a 403. A route may not require the scope in its api_key_auth.
func (h *Handler) rejectScopes(w http.ResponseWriter, r *http.Request, missing []string) *Rejection {
	h.recorder.metrics.rejections[causeScopes].Inc()
	apierror.RespondEarly(w, r, func() {
		w.Header().Set("WWW-Authenticate", apikey.ScopeChallenge(missing))
		apierror.WriteMissingScopes(w, missing)
	})
	return &Rejection{Status: http.StatusForbidden, Cause: causeScopes}
}
