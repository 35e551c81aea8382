package main

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

	"hoko.to/edge/bench/measure"
)

// pgbench drives Postgres alone: one sale a transaction, in one statement.
type pgbench struct {
	path, script, dsn string
	dir               string // of its logs, its own
	clients           int
	define            []string
	seconds           int // that count, after one of warm-up: it reports once a second
}

const pgbenchName = "pgbench"

// logged is the share of transactions whose latency is logged: all of few clients', few of many's, as logging costs.
func (p *pgbench) logged() float64 {
	if p.clients <= 2 {
		return 1
	}
	return 0.05
}

func (p *pgbench) args() []string {
	args := []string{"-n", "-M", "prepared", "-f", p.script, "-c", strconv.Itoa(p.clients), "-j", strconv.Itoa(min(2, p.clients)),
		"-T", "3600", "-P", "1", "--progress-timestamp",
		"-l", "--log-prefix", filepath.Join(p.dir, "log"), "--sampling-rate", strconv.FormatFloat(p.logged(), 'g', -1, 64)}
	for _, d := range p.define {
		args = append(args, "-D", d)
	}
	return append(args, p.dsn)
}

// try: a script that fails ends its client, and follow says so.
func (p *pgbench) try(context.Context) error { return nil }

func (p *pgbench) longer() { p.seconds *= 2 }

func (p *pgbench) drive(ctx context.Context, begin, end func() error) (outcome, error) {
	cmd := exec.CommandContext(ctx, p.path, p.args()...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = stopPatience
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
