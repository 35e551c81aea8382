package sale

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/tracing"
)

// Errors of a Store besides *UnknownOutcomeError. A Store may wrap them. Any other error means that
// the database rejected the sale. After all errors except *UnknownOutcomeError, nothing was
// written.
var (
	// ErrUnattributed means that no lead or click attributes the sale.
	ErrUnattributed = errors.New("nothing attributes the sale")
	// ErrNoSource is the ErrUnattributed of every sale while there is no link, or neither click nor
	// lead.
	ErrNoSource = fmt.Errorf("%w: there is no link yet, or neither click nor lead", ErrUnattributed)
	// ErrIdempotencyMismatch means that the idempotency key belongs to a different request.
	ErrIdempotencyMismatch = errors.New("idempotency key was used with a different request")
	// ErrNotRecorded means that nothing was written and nothing will be. The caller may retry.
	ErrNotRecorded = errors.New("sale was not recorded")
)

// Store records sales, those with the same workspace and idempotency key one at a time.
type Store interface {
	// Record commits the sale and returns it as committed, or returns one of the errors above. It
	// returns by ctx's deadline, which does not abort a sale that has been sent to the database.
	Record(ctx context.Context, s *Sale) (*Recorded, error)
}

// NotRecordedError is an ErrNotRecorded with the wait that a retry can expect.
type NotRecordedError struct {
	RetryAfter time.Duration // without jitter
	Cause      error         // wraps ErrNotRecorded
}

// Error returns the text of Cause.
func (e *NotRecordedError) Error() string { return e.Cause.Error() }

// Unwrap returns Cause.
func (e *NotRecordedError) Unwrap() error { return e.Cause }

// UnknownOutcomeError means that the sale may have been recorded, or may still be.
type UnknownOutcomeError struct {
	SaleID uuid.UUID // the sale to look up: an earlier one if that has the idempotency key
	Cause  error
}

// Error returns the sale's ID and the text of Cause.
func (e *UnknownOutcomeError) Error() string {
	return "sale " + e.SaleID.String() + ": the outcome is unknown: " + e.Cause.Error()
}

// Unwrap returns Cause.
func (e *UnknownOutcomeError) Unwrap() error { return e.Cause }

// RecorderOptions configures a Recorder. The zero value of a field selects its default.
type RecorderOptions struct {
	// Timeout is the max time that Record takes, including time in the queue. Default: 10 s.
	Timeout time.Duration
	// Logger receives sales that are recorded after their caller went away. Default: discarded.
	Logger *slog.Logger
	// Metrics registers the metrics of sales. Default: they are not registered.
	Metrics prometheus.Registerer
}

// DefaultTimeout is the default of RecorderOptions.Timeout.
const DefaultTimeout = 10 * time.Second

// WithDefaults returns the options with defaults filled in, or an error if they are invalid.
func (o RecorderOptions) WithDefaults() (RecorderOptions, error) {
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Timeout < 0 {
		return o, fmt.Errorf("the sale timeout must be positive, not %s", o.Timeout)
	}
	return o, nil
}

// Recorder records sales in a Store, each exactly once. It does not need to be closed.
type Recorder struct {
	store   Store
	timeout time.Duration
	logger  *slog.Logger
	metrics metrics
}

// NewRecorder returns a Recorder that uses store, or an error if the options are invalid. Recorders
// with the same o.Metrics share the counters.
func NewRecorder(store Store, o RecorderOptions) (*Recorder, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	return &Recorder{store: store, timeout: o.Timeout, logger: o.Logger, metrics: newMetrics(o.Metrics)}, nil
}

// Record records the request as a sale of the workspace. If idempotencyKey is not "" and belongs to
// an earlier sale of an equal request, Record returns that sale. Its errors are those of
// Store.Record. Canceling ctx does not abort it; only the timeout of the Recorder does.
func (r *Recorder) Record(
	ctx context.Context, workspaceID string, req *Request, idempotencyKey string,
) (*Recorded, error) {
	recorded, _, err := r.record(ctx, workspaceID, req, idempotencyKey)
	return recorded, err
}

func (r *Recorder) record(
	ctx context.Context, workspaceID string, req *Request, idempotencyKey string,
) (*Recorded, Timing, error) {
	start := time.Now()
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
	defer cancel()

	var both struct { // in one allocation
		sale   Sale
		timing Timing
	}
	s, timing := &both.sale, &both.timing
	*s = Sale{
		ID: uuid.Must(uuid.NewV7()), WorkspaceID: workspaceID, Request: req, IdempotencyKey: idempotencyKey,
		Timing: timing,
	}
	if idempotencyKey != "" {
		s.Fingerprint = req.Fingerprint()
	}
	recorded, err := r.store.Record(detached, s)
	end := time.Now()
	r.metrics.count(recorded, err, end.Sub(start))
	if span := tracing.Of(ctx); span.Records() {
		addSpans(span, timing, start, outcome(recorded, err))
	}
	if err == nil && ctx.Err() != nil {
		r.logger.LogAttrs(ctx, slog.LevelInfo, "sale recorded after its caller went away",
			slog.String("sale_id", recorded.SaleID.String()), slog.String("workspace_id", workspaceID))
	}
	return recorded, *timing, err
}

var (
	queueStep  = tracing.Step("sale queue")
	commitStep = tracing.Step("sale commit")
)

// addSpans adds the spans of a sale below that of its request: one if it was never sent, else two.
func addSpans(request tracing.Span, took *Timing, start time.Time, outcome string) {
	sent := start.Add(took.Queue)
	last, end := request.Start(queueStep, start), sent
	if took.Commit > 0 {
		last.End(sent, "")
		last, end = request.Start(commitStep, sent), sent.Add(took.Commit)
		last.Link(took.Statement)
	}
	last.SetString("hoko.outcome", outcome)
	errorType := ""
	switch outcome {
	case outcomeNotRecorded, outcomeUnknown, outcomeFailed:
		errorType = outcome
	}
	last.End(end, errorType)
}
