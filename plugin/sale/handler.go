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

// HandlerOptions are a Handler's settings. The zero value of a field means its default.
type HandlerOptions struct {
	// Recorder records the sales and counts the rejections. Required. Handlers may share it.
	Recorder *Recorder
	// BodyTimeout is the time in which a body must arrive; after it: 408. Default: 10 s.
	BodyTimeout time.Duration
	// Logger is told of rejections and failures. Default: none.
	Logger *slog.Logger
}

// WithDefaults returns the options with defaults filled in, or an error if they are invalid.
func (o HandlerOptions) WithDefaults() (HandlerOptions, error) {
	o.BodyTimeout = cmp.Or(o.BodyTimeout, 10*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	switch {
	case o.Recorder == nil:
		return o, errors.New("the handler of sales needs a recorder")
	case o.BodyTimeout < 0:
		return o, errors.New("the body timeout must be positive, not " + o.BodyTimeout.String())
	}
	return o, nil
}

// Handler answers POST /api/track/sale for a verified key. It looks at neither method nor path.
type Handler struct {
	recorder    *Recorder
	bodyTimeout time.Duration
	logger      *slog.Logger
}

// NewHandler returns a Handler with these settings.
func NewHandler(o HandlerOptions) (*Handler, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	return &Handler{recorder: o.Recorder, bodyTimeout: o.BodyTimeout, logger: o.Logger}, nil
}

// ServeHTTP calls Serve, and logs and answers its failures.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if failure, ok := errors.AsType[*apierror.Failure](h.Serve(w, r)); ok {
		h.logger.LogAttrs(r.Context(), slog.LevelError, "sale failed",
			slog.Int("status", failure.Err.Status), slog.Any("error", failure.Cause))
		apierror.Refuse(w, r, func() { apierror.Write(w, failure.Err) })
	}
}

// Serve records the sale and answers 201, or 4xx if something is wrong with the request. It does
// not answer a 5xx but returns it as an *apierror.Failure, with its Hoko-Sale-Id set.
func (h *Handler) Serve(w http.ResponseWriter, r *http.Request) error {
	key, ok := apikey.FromContext(r.Context())
	if !ok {
		return &apierror.Failure{Err: apierror.Internal, Cause: apikey.ErrUnverified}
	}
	req, idempotencyKey, rejected := h.read(w, r)
	if rejected != nil {
		h.reject(w, r, key, rejected)
		return nil
	}
	recorded, err := h.recorder.Record(r.Context(), key.WorkspaceID, req, idempotencyKey)
	if err != nil {
		return h.answerError(w, r, key, req, err)
	}
	answer(w, recorded)
	return nil
}

// read reads the request in the order of docs/api.md: encoding, length, members, idempotency key.
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
func answer(w http.ResponseWriter, recorded *Recorded) {
	buffer := bodies.Get().(*bytes.Buffer)
	defer freeBody(buffer)
	body := AppendResponse(buffer.AvailableBuffer(), recorded)
	buffer.Write(body) // in place, unless it had to grow

	header := w.Header()
	apierror.NoStore(header)
	// One array for the other values: one allocation instead of one each.
	values := [...]string{
		apierror.ContentType, strconv.Itoa(len(body)), recorded.SaleID.String(), string(recorded.Attribution),
	}
	header["Content-Type"] = values[0:1:1]
	header["Content-Length"] = values[1:2:2]
	header["Hoko-Sale-Id"] = values[2:3:3]
	header["Hoko-Attribution"] = values[3:4:4]
	if recorded.Replayed {
		header.Set("Idempotency-Replayed", "true")
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body) // the sale is committed; a caller that is gone retries with its Idempotency-Key
}

// answerError rejects the request if the caller can fix it and returns every other error.
func (h *Handler) answerError(w http.ResponseWriter, r *http.Request, key *apikey.Key, req *Request, err error) error {
	unknown, isUnknown := errors.AsType[*UnknownOutcomeError](err)
	notRecorded, isNotRecorded := errors.AsType[*NotRecordedError](err)
	switch {
	case errors.Is(err, ErrUnattributed):
		h.reject(w, r, key, invalidRequest(unattributed(req)))
		return nil
	case errors.Is(err, ErrIdempotencyMismatch):
		h.reject(w, r, key, &rejection{err: apierror.IdempotencyMismatch, cause: causeMismatch})
		return nil
	case isUnknown:
		w.Header().Set("Hoko-Sale-Id", unknown.SaleID.String())
		return &apierror.Failure{Err: apierror.GatewayTimeout, Cause: err}
	case isNotRecorded:
		apierror.SetBacklog(w.Header(), notRecorded.RetryAfter)
		return &apierror.Failure{Err: apierror.Unavailable, Cause: err}
	case errors.Is(err, ErrNotRecorded):
		return &apierror.Failure{Err: apierror.Unavailable, Cause: err}
	default:
		return &apierror.Failure{Err: apierror.Internal, Cause: err}
	}
}

// rejection is a 4xx: what is answered, and for a 400 also why.
type rejection struct {
	err    *apierror.Error
	cause  string
	reason string // of the Hoko-Reason header: ASCII, without any value of the client's
}

// invalidRequest returns the 400 whose reason is err's text.
func invalidRequest(err error) *rejection {
	return &rejection{err: apierror.InvalidRequest, cause: causeInvalid, reason: err.Error()}
}

// reject answers, counts and logs a rejection. It logs members and reasons, but no values.
func (h *Handler) reject(w http.ResponseWriter, r *http.Request, key *apikey.Key, rejected *rejection) {
	h.recorder.metrics.rejections[rejected.cause].Inc()
	attrs := []slog.Attr{
		slog.Int("status", rejected.err.Status),
		slog.String("cause", rejected.cause),
		slog.String("workspace_id", key.WorkspaceID),
		slog.String("key_id", key.ID),
	}
	if rejected.reason != "" {
		w.Header().Set(apierror.Reason, rejected.reason)
		attrs = append(attrs, slog.String("reason", rejected.reason))
	}
	h.logger.LogAttrs(r.Context(), slog.LevelInfo, "sale refused", attrs...)
	apierror.Refuse(w, r, func() { apierror.Write(w, rejected.err) })
}
