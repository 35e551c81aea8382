package devserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// startTimeout bounds a start whose context does not; crash recovery is part of it.
	startTimeout = time.Minute
	// stopPatience is how long a server may take over one signal before it gets the next, harder one.
	stopPatience = 10 * time.Second
	// pollInterval is the pause between two questions whether a server is ready, or a lock free.
	pollInterval = 10 * time.Millisecond
)

// process is a running server. Its goroutine, begun by startProcess, ends when the server does.
type process struct {
	name     string
	home     *home
	pid      int
	stopping atomic.Bool
	done     chan struct{}
	err      error // written before done is closed
}

// startProcess starts a server in its home, bound to the life of this process:
// onDeath is the signal it gets when we die without a word, env what its environment holds besides.
func startProcess(h *home, onDeath syscall.Signal, env []string, path string, args ...string) (*process, error) {
	log, err := os.Create(h.logPath())
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := h.command(context.Background(), path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(cmd.Env, env...)

	p := &process{name: filepath.Base(path), home: h, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		release, err := StartBound(cmd, onDeath)
		if err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		err = cmd.Wait()
		release()
		if !p.stopping.Load() {
			p.err = p.failure("exited", err)
		}
		h.leave()
		close(p.done)
	}()
	if err := <-started; err != nil {
		h.leave()
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return p, nil
}

// awaitReady asks until the server answers. One that does not is killed.
func (p *process) awaitReady(ctx context.Context, ask func(context.Context) error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.err
		case <-ctx.Done():
			p.Kill()
			return p.failure("does not answer", errors.Join(context.Cause(ctx), err))
		case <-ticker.C:
		}
	}
}

// failure names what happened to the server and quotes the end of its log.
func (p *process) failure(what string, cause error) error {
	if cause == nil {
		cause = errors.New("exit status 0")
	}
	return fmt.Errorf("%s %s: %w; the end of %s:\n%s", p.name, what, cause, p.home.logPath(), p.home.logTail())
}

// PID is the process id of the server.
func (p *process) PID() int { return p.pid }

// Done is closed when the server has ended, for whatever reason.
func (p *process) Done() <-chan struct{} { return p.done }

// Err says why the server ended of itself: nil while it runs, and after Stop and Kill.
func (p *process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Kill ends the server as a crash of its machine would, and waits for its end.
// Its children go with it: a Postgres backend that outlives its server may serve
// on, or wait for a lock that nobody will give back.
func (p *process) Kill() {
	if p.endsWithin(0) {
		return // its pid may be another's by now
	}
	orphans := children(p.pid)
	p.end(syscall.SIGKILL)
	for _, orphan := range orphans {
		_ = syscall.Kill(orphan, syscall.SIGKILL) // it may have ended by itself
	}
}

// end sends one signal after the other until the server is gone.
func (p *process) end(signals ...syscall.Signal) {
	p.stopping.Store(true)
	for _, signal := range signals {
		if p.signal(signal); p.endsWithin(stopPatience) {
			return
		}
	}
	<-p.done
}

// signal reaches the server only: once it has ended, its pid may be another's.
func (p *process) signal(signal syscall.Signal) {
	select {
	case <-p.done:
	default:
		syscall.Kill(p.pid, signal)
	}
}

func (p *process) endsWithin(patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}
