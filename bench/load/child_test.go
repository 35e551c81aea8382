package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain also serves as the executable that Run starts.
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

func nop() error { return nil }

func TestRun_MeasuredTime(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	var calls []string
	call := func(name string) func() error { return func() error { calls = append(calls, name); return nil } }
	before := cpu(syscall.RUSAGE_CHILDREN)
	spec := Spec{URL: s.URL, Connections: 2, Warmup: 50 * time.Millisecond, Duration: 200 * time.Millisecond}
	r, err := Run(t.Context(), spec, call("begin"), call("end"))
	called := slices.Equal(calls, []string{"begin", "end"})
	if err != nil || r.Requests == 0 || r.CPU == 0 || len(r.Errors) != 0 || !called {
		t.Errorf("%+v, %v, calls %q", r, err, calls)
	}
	if used := cpu(syscall.RUSAGE_CHILDREN) - before; used < r.CPU {
		t.Errorf("no separate process: children used %v", used)
	}
}

func TestRun_Error(t *testing.T) {
	spec := Spec{URL: "https://127.0.0.1:1", Connections: 1, Duration: time.Second}
	if _, err := Run(t.Context(), spec, nop, nop); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Error(err)
	}
}

func TestRun_ContextIsCanceled(t *testing.T) {
	over := errors.New("over")
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	ctx, stop := context.WithCancelCause(t.Context())
	begin := func() error { stop(over); return nil }
	if _, err := Run(ctx, Spec{URL: s.URL, Connections: 1, Duration: time.Hour}, begin, nop); !errors.Is(err, over) {
		t.Error(err)
	}
}
