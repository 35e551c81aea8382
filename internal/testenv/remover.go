package testenv

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// remover is a process that removes a directory when this one has ended: it
// reads a pipe that only we hold open. Servers that end at the same time may
// still be writing, so it tries again until they are done.
type remover struct {
	cmd  *exec.Cmd
	held io.Closer
}

const removeScript = `cat >/dev/null
umount -l "$1"/*/disk 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" && exit; sleep 1; done`

func startRemover(dir string) (*remover, error) {
	cmd := exec.Command("sh", "-c", removeScript, "sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for us, and its work begins then
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
	r.cmd.Wait() // a directory that stays behind is no reason to fail tests that passed
}
