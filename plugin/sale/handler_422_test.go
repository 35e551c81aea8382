package sale

import (
	"context"
	"fmt"
	"net/http"
	"testing"
)

func Test422_AnswersAnotherRequestWithTheSameKey(t *testing.T) {
	f := newFixture(func(context.Context, *Sale) (*Recorded, error) {
		return nil, fmt.Errorf("batch of 1: %w", ErrIdempotencyMismatch)
	}, 0)
	w := f.post(aBody, http.Header{"Idempotency-Key": {"once"}})
	expect(t, w, 422, `{"error":{"en":"Idempotency key was used with a different request","ar":"استُخدم مفتاح عدم التكرار مع طلب مختلف"}}`)
	f.expectRefusal(t, "idempotency_mismatch")
}
