//go:build !linux || watchedpipe

package devserver

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// watchScript becomes the command and leaves a watcher behind. The watcher reads a pipe whose other
// end only this process holds, so the pipe ends when this process does.
const watchScript = `signal=$1; shift
(cat <&3 >/dev/null; kill -"$signal" $$ 2>/dev/null) &
exec "$@" 3<&-`

// StartBound starts a command that receives the signal onDeath when this process dies, even by
// kill -9, on kernels that cannot send it. The caller calls release after the command has ended.
// If the command does not start, StartBound returns an error and a nil release.
func StartBound(cmd *exec.Cmd, onDeath syscall.Signal) (release func(), err error) {
	watched, held, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer watched.Close()
	cmd.ExtraFiles = append([]*os.File{watched}, cmd.ExtraFiles...)
	cmd.Args = append([]string{"sh", "-c", watchScript, "sh", strconv.Itoa(int(onDeath)), cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	if err := cmd.Start(); err != nil {
		held.Close()
		return nil, err
	}
	return func() {
		// Kill the watcher before it signals the command's PID, which another process may get. The
		// group's number cannot be reused yet, because the watcher is still in the group.
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		held.Close()
	}, nil
}
