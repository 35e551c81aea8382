package sale

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/apierror"
	"hoko.to/edge/plugin/apikey"
)

// HandlerOptions are a Handler's settings.
type HandlerOptions struct {
	// Recorder of the sales. Required.
	Recorder *Recorder
	// BodyTimeout is the time in which a body must arrive; after it: 408. Default: 10 s.
	BodyTimeout time.Duration
	// Logger; default: none.
	Logger *slog.Logger
	// Metrics is where hoko_sale_refusals_total is registered; default: nowhere.
	Metrics prometheus.Registerer
}

// Handler answers POST /api/track/sale for a verified key. It looks at neither
// method nor path. Handlers may share Recorder and Metrics.
type Handler struct {
	recorder    *Recorder
	bodyTimeout time.Duration
	logger      *slog.Logger
	refusals    *prometheus.CounterVec
}

// NewHandler is a Handler with these settings.
func NewHandler(o HandlerOptions) *Handler {
	if o.BodyTimeout <= 0 {
		o.BodyTimeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{
		recorder:    o.Recorder,
		bodyTimeout: o.BodyTimeout,
		logger:      o.Logger,
		refusals:    newRefusals(o.Metrics),
	}
}

var errNoKey = errors.New("no verified key in the request: api_key_auth must come before track_sale")

// ServeHTTP is Serve, its failures logged and answered.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var failure *apierror.Failure
	if err := h.Serve(w, r); errors.As(err, &failure) {
		h.logger.LogAttrs(r.Context(), slog.LevelError, "sale failed",
			slog.Int("status", failure.Err.Status), slog.Any("error", failure.Cause))
		apierror.Refuse(w, r, func() { apierror.Write(w, failure.Err) })
	}
}

// Serve records the sale and answers 201, or says in a 4xx what is wrong with
// the request. A 5xx is not answered but returned, as an *apierror.Failure; its
// headers are set.
func (h *Handler) Serve(w http.ResponseWriter, r *http.Request) error {
	key, ok := apikey.FromContext(r.Context())
	if !ok {
		return &apierror.Failure{Err: apierror.Internal, Cause: errNoKey}
	}
	req, idempotencyKey, refused := h.read(w, r)
	if refused != nil {
		h.refuse(w, r, key, refused)
		return nil
	}
	recorded, err := h.recorder.Record(r.Context(), key.WorkspaceID, req, idempotencyKey)
	if err != nil {
		return h.answerError(w, r, key, req, err)
	}
	answer(w, recorded)
	return nil
}

// read takes the request apart, in the order in which docs/api.md decides.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) (*Request, string, *refusal) {
	if !isIdentity(r.Header["Content-Encoding"]) {
		w.Header().Set("Accept-Encoding", "identity")
		return nil, "", &refusal{err: apierror.UnsupportedEncoding, cause: causeEncoding}
	}
	body := bodies.Get().(*bytes.Buffer)
	defer freeBody(body)
	if refused := h.readBody(body, w, r); refused != nil {
		return nil, "", refused
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

// answer is the 201.
func answer(w http.ResponseWriter, recorded *Recorded) {
	buffer := bodies.Get().(*bytes.Buffer)
	defer freeBody(buffer)
	body := AppendResponse(buffer.AvailableBuffer(), recorded)
	buffer.Write(body) // in place, unless it had to grow

	// One array for all values: an allocation, and not one each.
	values := [...]string{apierror.ContentType, strconv.Itoa(len(body)), "no-store", recorded.SaleID.String(), string(recorded.Attribution)}
	header := w.Header()
	header["Content-Type"] = values[0:1:1]
	header["Content-Length"] = values[1:2:2]
	header["Cache-Control"] = values[2:3:3]
	header["Hoko-Sale-Id"] = values[3:4:4]
	header["Hoko-Attribution"] = values[4:5:5]
	if recorded.Replayed {
		header.Set("Idempotency-Replayed", "true")
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body) // the sale is committed; a caller who is gone asks again with its Idempotency-Key
}

// answerError answers what the caller can mend and returns everything else.
func (h *Handler) answerError(w http.ResponseWriter, r *http.Request, key *apikey.Key, req *Request, err error) error {
	unknown, isUnknown := errors.AsType[*UnknownOutcomeError](err)
	switch {
	case errors.Is(err, ErrUnattributed):
		h.refuse(w, r, key, invalidRequest(unattributed(req)))
		return nil
	case errors.Is(err, ErrIdempotencyMismatch):
		h.refuse(w, r, key, &refusal{err: apierror.IdempotencyMismatch, cause: causeMismatch})
		return nil
	case isUnknown:
		w.Header().Set("Hoko-Sale-Id", unknown.SaleID.String())
		return &apierror.Failure{Err: apierror.GatewayTimeout, Cause: err}
	case errors.Is(err, ErrNotRecorded):
		w.Header().Set("Retry-After", "1")
		return &apierror.Failure{Err: apierror.Unavailable, Cause: err}
	default:
		return &apierror.Failure{Err: apierror.Internal, Cause: err}
	}
}

// refusal is a 4xx: what is answered, and for a 400 also why.
type refusal struct {
	err    *apierror.Error
	cause  string
	reason string // of the Hoko-Reason header: ASCII, and no value of the client's
}

// invalidRequest is the 400 whose reason is this error's text.
func invalidRequest(err error) *refusal {
	return &refusal{err: apierror.InvalidRequest, cause: causeInvalid, reason: err.Error()}
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
