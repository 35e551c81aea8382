package testenv

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// remover is a process that removes a directory after this process has ended, when the pipe that it
// reads is closed. It retries for ten seconds, because servers may still be writing.
type remover struct {
	cmd  *exec.Cmd
	held io.Closer
}

const removeScript = `cat >/dev/null
umount -l "$1"/*/disk 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" && exit; sleep 1; done`

func startRemover(dir string) (*remover, error) {
	cmd := exec.Command("sh", "-c", removeScript, "sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it must survive a Ctrl-C
	held, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the remover of %s: %w", dir, err)
	}
	return &remover{cmd, held}, nil
}

// run removes the directory now and returns when it is gone.
func (r *remover) run() {
	r.held.Close()
	r.cmd.Wait() // a leftover directory does not fail the tests
}
