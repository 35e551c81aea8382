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
	// startTimeout bounds a start, crash recovery included.
	startTimeout = time.Minute
	// stopTimeout is how long a server may take to end before it gets the next, harder signal.
	stopTimeout = 10 * time.Second
	// pollInterval is the pause between two checks whether a server is ready or a lock is free.
	pollInterval = 10 * time.Millisecond
)

// process is a running server.
type process struct {
	name     string
	home     *home
	pid      int
	stopping atomic.Bool
	done     chan struct{}
	err      error // written before done is closed
}

// startProcess starts a server in its home, with env added to its environment. The server gets the
// signal onDeath if this process dies.
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
		h.cleanUp()
		close(p.done)
	}()
	if err := <-started; err != nil {
		h.cleanUp()
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return p, nil
}

func wrapError(err *error) {
	if *err != nil {
		*err = fmt.Errorf("devserver: %w", *err)
	}
}

// awaitReady polls ping until it succeeds. It kills the server when ctx ends first.
func (p *process) awaitReady(ctx context.Context, ping func(context.Context) error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := ping(ctx)
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

// failure returns an error that names what happened and quotes the end of the log.
func (p *process) failure(what string, cause error) error {
	if cause == nil {
		cause = errors.New("exit status 0")
	}
	return fmt.Errorf("%s %s: %w; the end of %s:\n%s", p.name, what, cause, p.home.logPath(), p.home.logTail())
}

// PID returns the server's process id.
func (p *process) PID() int { return p.pid }

// Done returns a channel that is closed when the server has ended, for any reason.
func (p *process) Done() <-chan struct{} { return p.done }

// Err returns why the server ended by itself. It returns nil while the server runs and after Stop
// and Kill.
func (p *process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Kill ends the server with SIGKILL, as in a crash, and waits for its end. It also kills the
// server's children: a Postgres backend that outlives its server might go on serving, or wait
// forever for a lock.
func (p *process) Kill() {
	if p.endsWithin(0) {
		return // another process may have its PID
	}
	orphans := children(p.pid)
	p.end(syscall.SIGKILL)
	for _, orphan := range orphans {
		_ = syscall.Kill(orphan, syscall.SIGKILL) // fails if it has ended
	}
}

// end sends one signal after another until the server has ended.
func (p *process) end(signals ...syscall.Signal) {
	p.stopping.Store(true)
	for _, signal := range signals {
		if p.signal(signal); p.endsWithin(stopTimeout) {
			return
		}
	}
	<-p.done
}

// signal sends nothing after the server has ended, because another process may have its PID.
func (p *process) signal(signal syscall.Signal) {
	select {
	case <-p.done:
	default:
		syscall.Kill(p.pid, signal)
	}
}

func (p *process) endsWithin(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}
