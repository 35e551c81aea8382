package sale

import (
	"context"
	"net/http"
	"testing"
	"time"
)

func TestHandler_FinishesASaleWhoseClientHungUp(t *testing.T) {
	started, gone, outcome := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	f := newFixture(func(ctx context.Context, s *Sale) (*Recorded, error) {
		close(started)
		<-gone
		outcome <- ctx.Err()
		return recording(ctx, s)
	}, 0)
	answered := make(chan struct{})
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		context.AfterFunc(r.Context(), func() { close(gone) })
		f.ServeHTTP(w, r)
		close(answered)
	}))()
	c.send("Content-Length: 78", aBody)
	await(t, started)
	c.conn.Close()
	if err := await(t, outcome); err != nil {
		t.Errorf("the sale was aborted: %v", err)
	}
	await(t, answered)
}

func TestHandler_RecordsNothingOfAClientThatHungUpMidway(t *testing.T) {
	f := newFixture(recording, 0)
	answered := make(chan struct{})
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.ServeHTTP(w, r)
		close(answered)
	}))()
	c.send("Content-Length: 79", aBody) // what arrives is a whole sale, and still a part of what was announced
	c.conn.Close()
	await(t, answered)
	if n := len(f.sales()); n != 0 {
		t.Errorf("%d sales reached the store", n)
	}
	f.expectRefusal(t, "aborted")
}

func await[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(hangGuard):
		t.Fatal("nothing happens")
	}
	return v
}
