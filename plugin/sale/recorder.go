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
)

// Errors of a Store besides *UnknownOutcomeError. Each may wrap its cause. Any other error says
// that the database rejected this sale and that nothing was written.
var (
	// ErrUnattributed: nothing attributes the sale; nothing was written.
	ErrUnattributed = errors.New("nothing attributes the sale")
	// ErrNoSource is ErrUnattributed for any sale, as there is no link yet, or neither click nor lead.
	ErrNoSource = fmt.Errorf("%w: there is no link yet, or neither click nor lead", ErrUnattributed)
	// ErrIdempotencyMismatch: the idempotency key belongs to a different request; nothing was
	// written.
	ErrIdempotencyMismatch = errors.New("idempotency key was used with a different request")
	// ErrNotRecorded: nothing was written and nothing will be; the caller may safely try again.
	ErrNotRecorded = errors.New("sale was not recorded")
)

// Store records sales. It runs the sales of one workspace and idempotency key one after the other.
type Store interface {
	// Record commits the sale and returns it as committed, or one of the errors above. It returns
	// by ctx's deadline, which does not abort a sale that has been sent to the database.
	Record(ctx context.Context, s *Sale) (*Recorded, error)
}

// NotRecordedError is ErrNotRecorded with the wait that the next try may expect.
type NotRecordedError struct {
	RetryAfter time.Duration
	Cause      error // wraps ErrNotRecorded
}

// Error returns the cause's text.
func (e *NotRecordedError) Error() string { return e.Cause.Error() }

// Unwrap returns the cause.
func (e *NotRecordedError) Unwrap() error { return e.Cause }

// UnknownOutcomeError is the error of a sale that may or may not be, or become, recorded. It names
// the sale to ask for: another one's ID if the idempotency key is already that sale's.
type UnknownOutcomeError struct {
	SaleID uuid.UUID
	Cause  error
}

// Error returns the sale's ID and the cause.
func (e *UnknownOutcomeError) Error() string {
	return "sale " + e.SaleID.String() + ": outcome of the sale is unknown: " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *UnknownOutcomeError) Unwrap() error { return e.Cause }

// RecorderOptions are a Recorder's settings. The zero value of a field means its default.
type RecorderOptions struct {
	// Timeout is the time in which a sale is answered, waiting included. Default: 10 s.
	Timeout time.Duration
	// Logger is used for what no caller learns. Default: none.
	Logger *slog.Logger
	// Metrics is where the metrics of sales are registered. Default: nowhere.
	Metrics prometheus.Registerer
}

// DefaultTimeout is how long a sale may take.
const DefaultTimeout = 10 * time.Second

// WithDefaults returns the options with defaults filled in, or an error if they are invalid.
func (o RecorderOptions) WithDefaults() (RecorderOptions, error) {
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Timeout < 0 {
		return o, fmt.Errorf("the timeout of sales must be positive, not %s", o.Timeout)
	}
	return o, nil
}

// Recorder records sales in a Store, each exactly once. Nothing in it needs closing.
type Recorder struct {
	store   Store
	timeout time.Duration
	logger  *slog.Logger
	metrics metrics
}

// NewRecorder returns a Recorder over this store.
func NewRecorder(store Store, o RecorderOptions) (*Recorder, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	return &Recorder{store: store, timeout: o.Timeout, logger: o.Logger, metrics: newMetrics(o.Metrics)}, nil
}

// Record makes a sale of the request and records it. Its errors are those of a Store. Only the
// Recorder's timeout ends it, not a caller that goes away. idempotencyKey is "" if none was sent.
func (r *Recorder) Record(
	ctx context.Context, workspaceID string, req *Request, idempotencyKey string,
) (*Recorded, error) {
	start := time.Now()
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
	defer cancel()

	s := &Sale{ID: uuid.Must(uuid.NewV7()), WorkspaceID: workspaceID, Request: req, IdempotencyKey: idempotencyKey}
	if idempotencyKey != "" {
		s.Fingerprint = req.Fingerprint()
	}
	recorded, err := r.store.Record(detached, s)
	r.metrics.sales[outcome(recorded, err)].Inc()
	r.metrics.duration.Observe(time.Since(start).Seconds())
	if err == nil && ctx.Err() != nil {
		r.logger.LogAttrs(ctx, slog.LevelInfo, "sale recorded after its caller went away",
			slog.String("sale_id", recorded.SaleID.String()), slog.String("workspace_id", workspaceID))
	}
	return recorded, err
}
