package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain is also the executable that Start runs.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "load" {
		if err := Main(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestChildTellsWhenItMeasures(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	c, err := Start(t.Context(), Spec{URL: s.URL, Connections: 2, Warmup: 50 * time.Millisecond, Duration: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	<-c.Measuring()
	select {
	case <-c.Done():
		t.Log("the test was held up for the whole measured time")
	default:
	}
	<-c.Done()
	r, err := c.Wait()
	if err != nil || r.Requests == 0 || r.CPU == 0 || len(r.Errors) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if c.PID() == os.Getpid() {
		t.Error("not a process of its own")
	}
}

func TestChildThatFailsSaysWhy(t *testing.T) {
	c, err := Start(t.Context(), Spec{URL: "https://127.0.0.1:1", Connections: 1, Duration: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	<-c.Measuring()
	<-c.Done()
	if _, err := c.Wait(); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Error(err)
	}
}

func TestChildIsKilledWithItsContext(t *testing.T) {
	over := errors.New("over")
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	ctx, stop := context.WithCancelCause(t.Context())
	c, err := Start(ctx, Spec{URL: s.URL, Connections: 1, Duration: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	<-c.Measuring()
	stop(over)
	<-c.Done()
	if _, err := c.Wait(); !errors.Is(err, over) {
		t.Error(err)
	}
}
