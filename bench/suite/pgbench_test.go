package suite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/bench/measure"
)

const reports = `pgbench (15.20)
progress: 1700000001.000 s, 900.0 tps, lat 1.000 ms stddev 0.500, 0 failed
progress: 1700000002.000 s, 1000.0 tps, lat 1.000 ms stddev 0.500, 0 failed
progress: 1700000004.000 s, 2000.0 tps, lat 1.000 ms stddev 0.500, 0 failed
progress: 1700000005.000 s, 9000.0 tps, lat 1.000 ms stddev 0.500, 0 failed
`

func follow(p *pgbench, stderr string) (w window, calls string, err error) {
	call := func(name string) func() error { return func() error { calls += name; return nil } }
	self := measure.Process{Name: pgbenchName, PID: os.Getpid()}
	w, err = p.follow(strings.NewReader(stderr), self, call("begin "), call("end"))
	return w, calls, err
}

func TestPgbenchFollow_FirstSecondIsWarmUp(t *testing.T) {
	w, calls, err := follow(&pgbench{seconds: 2}, reports)
	if err != nil {
		t.Fatal(err)
	}
	if calls != "begin end" {
		t.Errorf("calls %q", calls)
	}
	if w.requests != 5000 || w.to.Sub(w.from) != 3*time.Second {
		t.Errorf("%v requests in %s, want 1000 + 2 × 2000 in 3 s", w.requests, w.to.Sub(w.from))
	}
}

func TestPgbenchFollow_Error(t *testing.T) {
	for name, stderr := range map[string]string{
		"failed transactions": strings.ReplaceAll(reports, "0 failed", "3 failed"),
		"ends early":          "pgbench: error: client 0 aborted\n",
	} {
		if _, _, err := follow(&pgbench{seconds: 2}, stderr); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPgbenchLatency_OnlyWithinTheWindow(t *testing.T) {
	p := &pgbench{dir: t.TempDir()}
	const log = "0 1 900000 0 10 500000\n0 2 1000 0 11 1\n1 1 3000 0 12 0\n1 2 800000 0 12 1\n"
	path := filepath.Join(p.dir, "log.123")
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := p.latency(window{from: time.Unix(11, 0), to: time.Unix(12, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if got.Max != 3*time.Millisecond || got.Mean != 2*time.Millisecond {
		t.Errorf("%+v, want transactions of 1 ms and 3 ms", got)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("the log is still there and would count in the next round")
	}
}
