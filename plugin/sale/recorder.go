package sale

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// Errors of a Store besides *UnknownOutcomeError. Each may wrap its cause. Any other error says that
// the database rejected this sale and that nothing was written.
var (
	// ErrUnattributed: nothing attributes the sale; nothing was written.
	ErrUnattributed = errors.New("nothing attributes the sale")
	// ErrIdempotencyMismatch: the idempotency key belongs to a different request; nothing was written.
	ErrIdempotencyMismatch = errors.New("idempotency key was used with a different request")
	// ErrNotRecorded: nothing was written and nothing will be; the caller may safely try again.
	ErrNotRecorded = errors.New("sale was not recorded")
)

// Store records sales.
type Store interface {
	// Record commits the sale and returns it as committed, or one of the errors above. It returns by
	// ctx's deadline, which does not abort a sale that has been sent to the database.
	Record(ctx context.Context, s *Sale) (*Recorded, error)
}

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

// RecorderOptions are a Recorder's settings.
type RecorderOptions struct {
	// Timeout is the time in which a sale is answered, waiting included. Default: 10 s.
	Timeout time.Duration
	// Logger; default: none.
	Logger *slog.Logger
	// Metrics is where hoko_sales_total and hoko_sale_duration_seconds are registered; default: nowhere.
	Metrics prometheus.Registerer
}

// Recorder records sales in a Store, each exactly once. It holds nothing that
// needs closing.
type Recorder struct {
	store    Store
	timeout  time.Duration
	logger   *slog.Logger
	turns    turns
	outcomes outcomes
	duration prometheus.Histogram
}

// NewRecorder is a Recorder over this store.
func NewRecorder(store Store, o RecorderOptions) *Recorder {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Recorder{
		store:    store,
		timeout:  o.Timeout,
		logger:   o.Logger,
		outcomes: newOutcomes(o.Metrics),
		duration: newDuration(o.Metrics),
	}
}

// Record makes a sale of the request and records it. A caller who goes away
// does not stop it: it is answered within the Recorder's timeout, and only by
// that. Its errors are those of a Store. idempotencyKey is "" if the caller sent none.
func (r *Recorder) Record(ctx context.Context, workspaceID string, req *Request, idempotencyKey string) (*Recorded, error) {
	start := time.Now()
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
	defer cancel()

	recorded, err := r.record(detached, workspaceID, req, idempotencyKey)
	r.outcomes[outcome(recorded, err)].Inc()
	r.duration.Observe(time.Since(start).Seconds())
	if err == nil && ctx.Err() != nil {
		r.logger.LogAttrs(ctx, slog.LevelInfo, "sale recorded after its caller went away",
			slog.String("sale_id", recorded.SaleID.String()), slog.String("workspace_id", workspaceID))
	}
	return recorded, err
}

func (r *Recorder) record(ctx context.Context, workspaceID string, req *Request, idempotencyKey string) (*Recorded, error) {
	s := &Sale{ID: uuid.Must(uuid.NewV7()), WorkspaceID: workspaceID, Request: req, IdempotencyKey: idempotencyKey}
	if idempotencyKey != "" {
		s.Fingerprint = req.Fingerprint()
		done, err := r.turns.take(ctx, turnKey{workspaceID, idempotencyKey})
		if err != nil {
			return nil, fmt.Errorf("%w: waiting for a request of the same idempotency key: %w", ErrNotRecorded, err)
		}
		defer done()
	}
	return r.store.Record(ctx, s)
}

// The outcomes of a sale: the closed set of hoko_sales_total's label.
const (
	outcomeRecorded     = "recorded"
	outcomeReplayed     = "replayed"
	outcomeUnattributed = "unattributed"
	outcomeMismatch     = "idempotency_mismatch"
	outcomeNotRecorded  = "not_recorded"
	outcomeUnknown      = "unknown"
	outcomeFailed       = "failed"
)

// outcomes counts sales.
type outcomes map[string]prometheus.Counter

func newOutcomes(metrics prometheus.Registerer) outcomes {
	counters := register(metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_sales_total",
		Help: "Valid sales that were asked for, by outcome.",
	}, []string{"outcome"}))
	each := outcomes{}
	for _, name := range []string{
		outcomeRecorded, outcomeReplayed, outcomeUnattributed, outcomeMismatch, outcomeNotRecorded, outcomeUnknown, outcomeFailed,
	} {
		each[name] = counters.WithLabelValues(name) // at once: a rate needs the zero before the first
	}
	return each
}

func newDuration(metrics prometheus.Registerer) prometheus.Histogram {
	return register(metrics, prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "hoko_sale_duration_seconds",
		Help:    "Time from a valid sale to its outcome, waiting included.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}))
}

func outcome(recorded *Recorded, err error) string {
	_, unknown := errors.AsType[*UnknownOutcomeError](err)
	switch {
	case errors.Is(err, ErrUnattributed):
		return outcomeUnattributed
	case errors.Is(err, ErrIdempotencyMismatch):
		return outcomeMismatch
	case unknown:
		return outcomeUnknown
	case errors.Is(err, ErrNotRecorded):
		return outcomeNotRecorded
	case err != nil:
		return outcomeFailed
	case recorded.Replayed:
		return outcomeReplayed
	default:
		return outcomeRecorded
	}
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

// register registers a collector and returns it, or the one that is there
// already: several handlers of one edge count together.
func register[C prometheus.Collector](metrics prometheus.Registerer, collector C) C {
	if metrics == nil {
		return collector
	}
	var registered prometheus.AlreadyRegisteredError
	if errors.As(metrics.Register(collector), &registered) {
		if existing, ok := registered.ExistingCollector.(C); ok {
			return existing
		}
	}
	return collector
}
