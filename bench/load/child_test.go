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

// TestMain is also the executable that Run runs.
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

// nop is what a test does when the measured time begins and ends.
func nop() error { return nil }

func TestChildTellsWhenItMeasures(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	var told []string
	tell := func(what string) func() error { return func() error { told = append(told, what); return nil } }
	before := cpu(syscall.RUSAGE_CHILDREN)
	spec := Spec{URL: s.URL, Connections: 2, Warmup: 50 * time.Millisecond, Duration: 200 * time.Millisecond}
	r, err := Run(t.Context(), spec, tell("begin"), tell("end"))
	if err != nil || r.Requests == 0 || r.CPU == 0 || len(r.Errors) != 0 || !slices.Equal(told, []string{"begin", "end"}) {
		t.Errorf("%+v, %v, told %q", r, err, told)
	}
	if used := cpu(syscall.RUSAGE_CHILDREN) - before; used < r.CPU {
		t.Errorf("not a process of its own: children have used %v", used)
	}
}

func TestChildThatFailsSaysWhy(t *testing.T) {
	spec := Spec{URL: "https://127.0.0.1:1", Connections: 1, Duration: time.Second}
	if _, err := Run(t.Context(), spec, nop, nop); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Error(err)
	}
}

func TestChildIsKilledWithItsContext(t *testing.T) {
	over := errors.New("over")
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	ctx, stop := context.WithCancelCause(t.Context())
	begin := func() error { stop(over); return nil }
	if _, err := Run(ctx, Spec{URL: s.URL, Connections: 1, Duration: time.Hour}, begin, nop); !errors.Is(err, over) {
		t.Error(err)
	}
}
