package harness

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

// Process is a started command.
type Process struct {
	// Ended is closed when the process has ended.
	Ended chan struct{}
	cmd   *exec.Cmd
}

// StartProcess starts a command that writes to logs, and closes the logs when the command ends.
func StartProcess(t testing.TB, cmd *exec.Cmd, logs ...*testenv.Log) *Process {
	t.Helper()
	testenv.NoError(t, cmd.Start())
	p := &Process{make(chan struct{}), cmd}
	go func() {
		cmd.Wait()
		for _, log := range logs {
			log.Close()
		}
		close(p.Ended)
	}()
	return p
}

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal. It does nothing if the process has ended.
func (p *Process) Signal(signal os.Signal) { p.cmd.Process.Signal(signal) }

// AwaitEnd waits for the process to end and returns its exit code. After HangGuard it fails the
// test and makes the process print its goroutines.
func (p *Process) AwaitEnd(t testing.TB) (code int) {
	t.Helper()
	select {
	case <-p.Ended:
	case <-time.After(HangGuard):
		p.Signal(syscall.SIGABRT)
		<-p.Ended
		t.Errorf("%s did not end", p.cmd)
	}
	return p.cmd.ProcessState.ExitCode()
}
