package suite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/measure"
)

// pgbench runs one of the scripts of bench/peers/pgbench. One transaction records one sale.
type pgbench struct {
	path, script, dsn  string
	dir                string // for its logs
	clients, customers int
	seconds            int // measured, after one second of warm-up
}

const pgbenchName = "pgbench"

// pgbenchSide returns a side that runs a script, named without its extension.
func (b *Bench) pgbenchSide(name, script string, clients int) *side {
	dir := filepath.Join(b.Stage.Peers, "pgbench")
	return &side{
		name: name, connections: clients,
		servers: []measure.Process{{Name: "Postgres", PID: b.Stage.Postgres.PID()}},
		driver: &pgbench{
			path: b.Stage.Pgbench, script: filepath.Join(dir, script+".sql"), dsn: b.Stage.Database.DSN, dir: dir,
			clients: clients, customers: b.Mode.Customers, seconds: int(math.Ceil(b.Mode.measure.Seconds())),
		},
	}
}

func (p *pgbench) args() []string {
	sampling := "0.05" // with many clients, logging every transaction would cost too much
	if p.clients <= 2 {
		sampling = "1"
	}
	return []string{"-n", "-M", "prepared", "-f", p.script, "-D", "customers=" + strconv.Itoa(p.customers),
		"-c", strconv.Itoa(p.clients), "-j", strconv.Itoa(min(2, p.clients)),
		"-T", "3600", "-P", "1", "--progress-timestamp",
		"-l", "--log-prefix", filepath.Join(p.dir, "log"), "--sampling-rate", sampling, p.dsn}
}

// check does nothing, because drive returns the error of a script that fails.
func (p *pgbench) check(context.Context) error { return nil }

func (p *pgbench) extend() { p.seconds *= 2 }

func (p *pgbench) drive(ctx context.Context, begin, end func() error) (outcome, error) {
	cmd := exec.CommandContext(ctx, p.path, p.args()...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = 10 * time.Second
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return outcome{}, err
	}
	if err := cmd.Start(); err != nil {
		return outcome{}, err
	}
	w, err := p.follow(stderr, measure.Process{Name: pgbenchName, PID: cmd.Process.Pid}, begin, end)
	// The timer of -T sends the same signal. pgbench then writes its log and exits with status 0.
	cmd.Process.Signal(syscall.SIGALRM)
	err = errors.Join(err, cmd.Wait())
	if err != nil {
		return outcome{}, fmt.Errorf("pgbench: %w", err)
	}
	latency, err := p.latency(w)
	if latency.Max == 0 {
		w.requests = 0 // no sampled transaction: the time was too short
	}
	return outcome{int(math.Round(w.requests)), w.to.Sub(w.from).Seconds(), latency, nil, pgbenchName, w.cpu}, err
}

// window is the measured part of a run.
type window struct {
	from, to time.Time
	requests float64
	cpu      time.Duration // of pgbench
}

// follow reads the progress report that pgbench prints every second. The first one ends the
// warm-up.
func (p *pgbench) follow(stderr io.Reader, self measure.Process, begin, end func() error) (w window, err error) {
	var before measure.CPU
	lines := bufio.NewScanner(stderr)
	last := "no output"
	for seconds := 0; lines.Scan(); {
		r, ok := parseProgress(lines.Text())
		if !ok {
			last = lines.Text()
			continue
		}
		if r.failed > 0 {
			return w, fmt.Errorf("%d transactions failed", r.failed)
		}
		switch seconds {
		case 0:
			w.from = r.at
			before, err = measure.Snapshot(self)
			err = errors.Join(err, begin())
		default:
			w.requests += r.rate * r.at.Sub(w.to).Seconds()
		}
		w.to = r.at
		if err != nil {
			return w, err
		}
		if seconds == p.seconds {
			err = end()
			after, snapshotErr := measure.Snapshot(self)
			w.cpu = after.Sub(before)[self.Name]
			return w, errors.Join(err, snapshotErr)
		}
		seconds++
	}
	return w, fmt.Errorf("ended early: %s", last)
}

// progress is a progress report of pgbench.
type progress struct {
	at     time.Time
	rate   float64 // transactions per second
	failed int
}

func parseProgress(line string) (p progress, ok bool) {
	var at, latency, deviation float64
	n, _ := fmt.Sscanf(line, "progress: %f s, %f tps, lat %f ms stddev %f, %d failed",
		&at, &p.rate, &latency, &deviation, &p.failed)
	p.at = time.UnixMilli(int64(math.Round(at * 1e3)))
	return p, n == 5
}

// latency summarizes the logged transactions that ended within w, and removes the logs.
func (p *pgbench) latency(w window) (load.Latency, error) {
	logs, err := filepath.Glob(filepath.Join(p.dir, "log.*"))
	var all load.Histogram
	for _, log := range logs {
		err = errors.Join(err, readLog(&all, log, w), os.Remove(log))
	}
	return all.Latency(), err
}

// readLog reads a log in the format of the manual of pgbench, "Per-Transaction Logging".
func readLog(all *load.Histogram, path string, w window) error {
	log, err := os.Open(path)
	if err != nil {
		return err
	}
	defer log.Close()
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var client, transaction, latency, script, seconds, micros int64
		n, _ := fmt.Sscan(lines.Text(), &client, &transaction, &latency, &script, &seconds, &micros)
		if n != 6 {
			return fmt.Errorf("log of pgbench: %q", lines.Text())
		}
		if ended := time.Unix(seconds, micros*1e3); ended.After(w.from) && !ended.After(w.to) {
			all.Record(time.Duration(latency) * time.Microsecond)
		}
	}
	return nil
}
