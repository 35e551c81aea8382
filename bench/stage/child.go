package stage

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"hoko.to/edge/bench/measure"
	"hoko.to/edge/internal/devserver"
)

// stopPatience is how long a child may take to end in good order.
const stopPatience = 10 * time.Second

// Child is a process that the stage has started. It does not outlive us.
type Child struct {
	Name    string // in the tables
	Address string // where it listens, if it said so
	cmd     *exec.Cmd
	stdin   io.Closer
	ended   chan struct{}
	err     error // why it ended; read after ended is closed
}

// spawn starts a child. Its output goes to /dev/null or into the logs, on every side, unless
// something else reads its standard output.
func (s *Stage) spawn(name string, cmd *exec.Cmd) (*Child, error) {
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
	c := &Child{Name: name, cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	started := make(chan error)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal's Ctrl-C is not for it
	go func() {
		release, err := devserver.StartBound(cmd, syscall.SIGTERM)
		started <- err
		if err == nil {
			c.err = cmd.Wait()
			release()
			close(c.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s.onClose(c.stop)
	return c, nil
}

func (s *Stage) openLog(name string) (*os.File, error) {
	if s.logs == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	return os.OpenFile(filepath.Join(s.logs, name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
}

// spawnServer starts a child whose first line says that it listens, and where if it is ours.
func (s *Stage) spawnServer(ctx context.Context, name string, cmd *exec.Cmd) (*Child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = w
	c, err := s.spawn(name, cmd)
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	s.onClose(func() { r.Close() })
	defer context.AfterFunc(ctx, func() { r.Close() })()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%s did not say where it listens: %w", name, err)
	}
	c.Address = strings.TrimSpace(line)
	return c, nil
}

// StartSelf starts this executable with arguments that make it a server, called by the first.
func (s *Stage) StartSelf(ctx context.Context, args ...string) (*Child, error) {
	return s.spawnServer(ctx, args[0], exec.Command(s.self, args...))
}

// Process is how the child's CPU is counted.
func (c *Child) Process() measure.Process {
	return measure.Process{Name: c.Name, PID: c.cmd.Process.Pid}
}

func (c *Child) stop() {
	c.stdin.Close()
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(stopPatience):
		c.cmd.Process.Kill()
		<-c.ended
	}
}
