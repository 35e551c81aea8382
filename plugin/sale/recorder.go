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
// that. Its errors are those of a Store; ErrOutcomeUnknown comes in an
// *UnknownOutcomeError. idempotencyKey is "" where the caller sent none.
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
	recorded, err := r.store.Record(ctx, s)
	if _, named := errors.AsType[*UnknownOutcomeError](err); !named && errors.Is(err, ErrOutcomeUnknown) {
		return nil, &UnknownOutcomeError{s.ID, err}
	}
	return recorded, err
}
