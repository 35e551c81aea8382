package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"hoko.to/edge/bench/measure"
)

// stopPatience is how long a child may take to end in good order.
const stopPatience = 10 * time.Second

// child is a process that the stage has started. It does not outlive us.
type child struct {
	name    string // in the tables
	address string // where it listens, if it said so
	cmd     *exec.Cmd
	stdin   io.Closer
	ended   chan struct{}
	err     error // why it ended; read after ended is closed
}

// spawn starts a child. Where nothing else reads its stderr, that goes to
// /dev/null on every side, or into --logs.
func (s *stage) spawn(name string, cmd *exec.Cmd) (*child, error) {
	log, err := s.openLog(name)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	c := &child{name: name, cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ties the child's life to the thread that starts it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		bindLife(cmd)
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		c.err = cmd.Wait()
		close(c.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s.onClose(c.stop)
	return c, nil
}

func (s *stage) openLog(name string) (*os.File, error) {
	if s.logs == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	return os.OpenFile(filepath.Join(s.logs, name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
}

// process is how its CPU is counted.
func (c *child) process() measure.Process {
	return measure.Process{Name: c.name, PID: c.cmd.Process.Pid}
}

func (c *child) stop() {
	c.stdin.Close()
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(stopPatience):
		c.cmd.Process.Kill()
		<-c.ended
	}
}
