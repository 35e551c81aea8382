package harness

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

// Process is a running command.
type Process struct {
	// Ended is closed when the process has ended.
	Ended chan struct{}
	cmd   *exec.Cmd
}

// StartProcess starts a command whose output goes to logs, and closes these when it has ended.
func StartProcess(t testing.TB, cmd *exec.Cmd, logs ...*testenv.Log) *Process {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
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

// PID returns the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal, which a process that has ended does not mind.
func (p *Process) Signal(signal os.Signal) { p.cmd.Process.Signal(signal) }

// AwaitEnd returns the exit code when the process has ended. One that does not end fails the test,
// and prints what its goroutines do.
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
