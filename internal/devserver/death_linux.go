//go:build linux && !watchedpipe

package devserver

import (
	"os/exec"
	"runtime"
	"syscall"
)

// StartBound starts a command that gets the signal when this process dies,
// by kill -9 too. The kernel watches the thread that started it, not the
// process: the calling goroutine keeps that thread until it calls release.
func StartBound(cmd *exec.Cmd, onDeath syscall.Signal) (release func(), err error) {
	runtime.LockOSThread()
	cmd.SysProcAttr.Pdeathsig = onDeath
	if err := cmd.Start(); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	return runtime.UnlockOSThread, nil
}
