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

// pgbench drives Postgres alone: one sale a transaction, in one statement.
type pgbench struct {
	path, script, dsn  string
	dir                string // of its logs
	clients, customers int
	seconds            int // that count, after one of warm-up: it reports once a second
}

const (
	pgbenchName = "pgbench"

	// endPatience is how long pgbench may take to end.
	endPatience = 10 * time.Second
)

// pgbenchSide returns pgbench with one of its scripts.
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
	// Logging costs: of few clients all transactions are logged, of many some.
	logged := "0.05"
	if p.clients <= 2 {
		logged = "1"
	}
	return []string{"-n", "-M", "prepared", "-f", p.script, "-D", "customers=" + strconv.Itoa(p.customers),
		"-c", strconv.Itoa(p.clients), "-j", strconv.Itoa(min(2, p.clients)), "-T", "3600", "-P", "1", "--progress-timestamp",
		"-l", "--log-prefix", filepath.Join(p.dir, "log"), "--sampling-rate", logged, p.dsn}
}

// try: a script that fails ends its client, and follow says so.
func (p *pgbench) try(context.Context) error { return nil }

func (p *pgbench) longer() { p.seconds *= 2 }

func (p *pgbench) drive(ctx context.Context, begin, end func() error) (outcome, error) {
	cmd := exec.CommandContext(ctx, p.path, p.args()...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = endPatience
	said, err := cmd.StderrPipe()
	if err != nil {
		return outcome{}, err
	}
	if err := cmd.Start(); err != nil {
		return outcome{}, err
	}
	w, err := p.follow(said, measure.Process{Name: pgbenchName, PID: cmd.Process.Pid}, begin, end)
	// As its own timer would, once its hour is over: it ends in good order and writes its log.
	cmd.Process.Signal(syscall.SIGALRM)
	err = errors.Join(err, cmd.Wait())
	if err != nil {
		return outcome{}, fmt.Errorf("pgbench: %w", err)
	}
	latency, err := p.latency(w)
	if latency.Max == 0 {
		w.requests = 0 // too short a time to tell anything of it
	}
	return outcome{int(math.Round(w.requests)), w.to.Sub(w.from).Seconds(), latency, nil, pgbenchName, w.cpu}, err
}

// window is what is counted of a run.
type window struct {
	from, to time.Time
	requests float64
	cpu      time.Duration // of pgbench
}

// follow reads one report a second. The first one ends the warm-up.
func (p *pgbench) follow(said io.Reader, self measure.Process, begin, end func() error) (w window, err error) {
	var before measure.CPU
	lines := bufio.NewScanner(said)
	last := "it said nothing"
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
			after, gone := measure.Snapshot(self)
			w.cpu = after.Sub(before)[self.Name]
			return w, errors.Join(err, gone)
		}
		seconds++
	}
	return w, fmt.Errorf("it ended early: %s", last)
}

// progress is one of its reports.
type progress struct {
	at     time.Time
	rate   float64
	failed int
}

func parseProgress(line string) (p progress, ok bool) {
	var at, latency, deviation float64
	n, _ := fmt.Sscanf(line, "progress: %f s, %f tps, lat %f ms stddev %f, %d failed", &at, &p.rate, &latency, &deviation, &p.failed)
	p.at = time.UnixMilli(int64(math.Round(at * 1e3)))
	return p, n == 5
}

// latency is that of the logged transactions that ended within a window. The logs are removed.
func (p *pgbench) latency(w window) (load.Latency, error) {
	logs, err := filepath.Glob(filepath.Join(p.dir, "log.*"))
	var all load.Histogram
	for _, log := range logs {
		err = errors.Join(err, readLog(&all, log, w), os.Remove(log))
	}
	return all.Latency(), err
}

// readLog reads lines of client, transaction, its time in µs, script, and when it ended, in seconds and µs.
func readLog(all *load.Histogram, path string, w window) error {
	log, err := os.Open(path)
	if err != nil {
		return err
	}
	defer log.Close()
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var client, transaction, took, script, seconds, micros int64
		if n, _ := fmt.Sscan(lines.Text(), &client, &transaction, &took, &script, &seconds, &micros); n != 6 {
			return fmt.Errorf("pgbench's log: %q", lines.Text())
		}
		if ended := time.Unix(seconds, micros*1e3); ended.After(w.from) && !ended.After(w.to) {
			all.Record(time.Duration(took) * time.Microsecond)
		}
	}
	return nil
}
