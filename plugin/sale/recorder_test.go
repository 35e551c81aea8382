package sale

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"hoko.to/edge/internal/testkit"
)

// storeFunc is a function that implements Store.
type storeFunc func(context.Context, *Sale) (*Recorded, error)

func (f storeFunc) Record(ctx context.Context, s *Sale) (*Recorded, error) { return f(ctx, s) }

// recording returns the published sale with the ID of s.
func recording(_ context.Context, s *Sale) (*Recorded, error) {
	recorded := publishedSale()
	recorded.SaleID = s.ID
	return recorded, nil
}

// failing returns a Store that fails with err.
func failing(err error) storeFunc {
	return func(context.Context, *Sale) (*Recorded, error) { return nil, err }
}

func newTestRecorder(store storeFunc, o RecorderOptions) *Recorder {
	return must(NewRecorder(store, o))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var aRequest = &Request{CustomerExternalID: "customer_123", Amount: 12900, Currency: "usd", EventName: "Purchase"}

func TestRecord_PassesTheSaleToTheStore(t *testing.T) {
	var sales []*Sale
	recorder := newTestRecorder(func(ctx context.Context, s *Sale) (*Recorded, error) {
		sales = append(sales, s)
		return recording(ctx, s)
	}, RecorderOptions{})
	for _, key := range []string{"", "once"} {
		if _, err := recorder.Record(t.Context(), "ws_1", aRequest, key); err != nil {
			t.Fatal(err)
		}
	}
	plain, keyed := sales[0], sales[1]
	for _, s := range sales {
		if s.ID.Version() != 7 || s.ID.Variant() != uuid.RFC4122 {
			t.Errorf("ID %s is not a UUIDv7", s.ID)
		}
		if s.WorkspaceID != "ws_1" || s.Request != aRequest {
			t.Errorf("the store got %+v", s)
		}
	}
	if plain.ID == keyed.ID {
		t.Error("two sales have the same ID")
	}
	if plain.IdempotencyKey != "" || keyed.IdempotencyKey != "once" {
		t.Errorf("idempotency keys %q and %q", plain.IdempotencyKey, keyed.IdempotencyKey)
	}
	if keyed.Fingerprint != aRequest.Fingerprint() {
		t.Error("the fingerprint is not the request's")
	}
}

func TestRecord_OutlivesItsCallerUntilTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		caller, hangUp := context.WithCancel(t.Context())
		start := time.Now()
		recorder := newTestRecorder(func(ctx context.Context, s *Sale) (*Recorded, error) {
			hangUp()
			synctest.Wait()
			if ctx.Err() != nil {
				t.Error("the sale ends with its caller")
			}
			if deadline, _ := ctx.Deadline(); deadline.Sub(start) != 3*time.Second {
				t.Errorf("deadline after %v, want the timeout", deadline.Sub(start))
			}
			return recording(ctx, s)
		}, RecorderOptions{Timeout: 3 * time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))})

		recorded, err := recorder.Record(caller, "ws_1", aRequest, "")
		testkit.NoError(t, err)
		if !strings.Contains(log.String(), recorded.SaleID.String()) {
			t.Errorf("the log does not name the sale whose caller is gone: %s", log.String())
		}
	})
}

func TestUnknownOutcomeError_NamesTheSale(t *testing.T) {
	id := uuid.Must(uuid.NewV7())
	err := &UnknownOutcomeError{id, context.Canceled}
	if want := "sale " + id.String() + ": the outcome is unknown: context canceled"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v lacks its cause", err)
	}
}

func TestRecord_CountsEachOutcome(t *testing.T) {
	replayed := publishedSale()
	replayed.Replayed = true
	for want, result := range map[string]struct {
		recorded *Recorded
		err      error
	}{
		"recorded":             {publishedSale(), nil},
		"replayed":             {replayed, nil},
		"unattributed":         {nil, ErrUnattributed},
		"idempotency_mismatch": {nil, ErrIdempotencyMismatch},
		"not_recorded":         {nil, fmt.Errorf("%w: queue is full", ErrNotRecorded)},
		"unknown":              {nil, &UnknownOutcomeError{Cause: errors.New("connection lost")}},
		"failed":               {nil, errors.New("value too long")},
	} {
		t.Run(want, func(t *testing.T) {
			metrics := prometheus.NewRegistry()
			recorder := newTestRecorder(func(context.Context, *Sale) (*Recorded, error) {
				return result.recorded, result.err
			}, RecorderOptions{Metrics: metrics})
			recorder.Record(t.Context(), "ws_1", aRequest, "")
			for outcome, n := range counterValues(t, metrics, "hoko_sales_total") {
				if (outcome == want) != (n == 1) {
					t.Errorf("%s is %v", outcome, n)
				}
			}
			attributed := counterValues(t, metrics, "hoko_sales_attributed_total")
			n := attributed[string(publishedSale().Attribution)]
			if (want == "recorded") != (n == 1) || len(attributed) != 3 {
				t.Errorf("attributed %v", attributed)
			}
			durations := gather(t, metrics, "hoko_sale_duration_seconds")[0].GetHistogram()
			if n := durations.GetSampleCount(); n != 1 {
				t.Errorf("%d durations", n)
			}
		})
	}
}

// counterValues returns the values of a counter by its only label.
func counterValues(t *testing.T, metrics prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for _, metric := range gather(t, metrics, name) {
		values[metric.GetLabel()[0].GetValue()] = metric.GetCounter().GetValue()
	}
	return values
}

// gather returns the metrics of this name.
func gather(t *testing.T, metrics prometheus.Gatherer, name string) []*dto.Metric {
	t.Helper()
	families, err := metrics.Gather()
	testkit.NoError(t, err)
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()
		}
	}
	t.Fatalf("no metric %s", name)
	return nil
}
