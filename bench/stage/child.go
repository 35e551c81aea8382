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

// Child is a process of the stage. It ends with this process, even if that is killed.
type Child struct {
	Name    string // in tables
	Address string // where it listens, if StartSelf or StartService started it
	cmd     *exec.Cmd
	stdin   io.Closer
	ended   chan struct{}
	err     error // of cmd.Wait, once ended is closed
}

// spawn starts a child. Its output goes to Options.Logs or /dev/null, unless cmd.Stdout is set.
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
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // not interrupted by Ctrl-C
	// StartBound locks its thread, which must live as long as the child.
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

// spawnServer starts a child, waits for its first line of output and keeps that as Address.
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
		return nil, fmt.Errorf("%s ended before it printed an address: %w", name, err)
	}
	c.Address = strings.TrimSpace(line)
	return c, nil
}

// StartSelf starts this executable as a server. The first argument selects the server and is the
// child's name.
func (s *Stage) StartSelf(ctx context.Context, args ...string) (*Child, error) {
	return s.spawnServer(ctx, args[0], exec.Command(s.self, args...))
}

// Process returns the child for measure.Snapshot.
func (c *Child) Process() measure.Process {
	return measure.Process{Name: c.Name, PID: c.cmd.Process.Pid}
}

func (c *Child) stop() {
	c.stdin.Close()
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(10 * time.Second):
		c.cmd.Process.Kill()
		<-c.ended
	}
}
