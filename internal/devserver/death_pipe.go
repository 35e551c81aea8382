//go:build !linux || watchedpipe

package devserver

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// watchScript becomes the command, and leaves behind a watcher that reads a
// pipe whose other end only we hold: the pipe ends when we do.
const watchScript = `signal=$1; shift
(cat <&3 >/dev/null; kill -"$signal" $$ 2>/dev/null) &
exec "$@" 3<&-`

// StartBound starts a command that gets the signal when this process dies, by
// kill -9 too, where the kernel does not offer to send it. The caller calls
// release when the command has ended.
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
		// The watcher must not wake now: the command's number may soon be a
		// stranger's. Not yet, as the watcher is still in the group of that number.
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		held.Close()
	}, nil
}
