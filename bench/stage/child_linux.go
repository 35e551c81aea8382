package stage

import (
	"os/exec"
	"syscall"
)

// bindLife ends a child when this process dies, by kill -9 too, and keeps the terminal's Ctrl-C from it.
func bindLife(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
