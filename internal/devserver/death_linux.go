//go:build linux && !watchedpipe

package devserver

import (
	"os/exec"
	"runtime"
	"syscall"
)

// StartBound starts a command that receives the signal onDeath when this process dies, even by
// kill -9. The kernel tracks the thread that started the command, not the process, so the calling
// goroutine stays locked to its thread until it calls release, which it must do after the command
// has ended. cmd.SysProcAttr must not be nil. If the command does not start, StartBound returns the
// error of cmd.Start and a nil release.
func StartBound(cmd *exec.Cmd, onDeath syscall.Signal) (release func(), err error) {
	runtime.LockOSThread()
	cmd.SysProcAttr.Pdeathsig = onDeath
	if err := cmd.Start(); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	return runtime.UnlockOSThread, nil
}
