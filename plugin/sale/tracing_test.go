package sale

import (
	"context"
	"errors"
	"testing"
	"time"

	"hoko.to/edge/internal/testkit"
	"hoko.to/edge/plugin/tracing"
)

func TestTrace_OfEachOutcome(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		commit time.Duration
		want   string
	}{
		"unknown": {
			&UnknownOutcomeError{Cause: context.DeadlineExceeded}, time.Second,
			"sale commit!unknown, sale queue",
		},
		"recorded":     {nil, time.Second, "sale commit, sale queue"},
		"unattributed": {ErrUnattributed, time.Second, "sale commit, sale queue"},
		"mismatch":     {ErrIdempotencyMismatch, time.Second, "sale commit, sale queue"},
		"shed":         {&NotRecordedError{Cause: ErrNotRecorded}, 0, "sale queue!not_recorded"},
		"rolled back":  {ErrNotRecorded, time.Second, "sale commit!not_recorded, sale queue"},
		"rejected":     {errors.New("value too long: John Doe"), time.Second, "sale commit!failed, sale queue"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, trace := testkit.StartTrace(t.Context())
			recorder := newTestRecorder(func(ctx context.Context, s *Sale) (*Recorded, error) {
				*s.Timing = Timing{Queue: time.Second, Commit: tc.commit, Statement: tracing.Of(ctx)}
				if tc.err != nil {
					return nil, tc.err
				}
				return recording(ctx, s)
			}, RecorderOptions{})
			recorder.Record(ctx, "ws_1", aRequest, "")
			if got := trace.Tree(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// As before there were traces.
func TestRecord_AllocationsWithoutTrace(t *testing.T) {
	recorded := publishedSale()
	store := func(context.Context, *Sale) (*Recorded, error) { return recorded, nil }
	recorder := newTestRecorder(store, RecorderOptions{})
	if n := testing.AllocsPerRun(100, func() { recorder.Record(t.Context(), "ws_1", aRequest, "") }); n > 7 {
		t.Errorf("%v allocations, want 7", n)
	}
}
