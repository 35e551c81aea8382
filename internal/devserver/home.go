package devserver

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// maxSocketPath is what fits into a socket's address everywhere (Linux 107, macOS 103 bytes).
const maxSocketPath = 103

// tailSize is how much of a server's log an error quotes, in bytes.
const tailSize = 2048

// home is a server's directory: its lock and log, which are ours, and below it
// its data and its sockets, which are its user's alone. Who may enter the
// directory of the sockets may connect: that user, and root.
//
// Every process of a server holds the lock of its home, so a lock that is free
// tells that nothing of an earlier server is left, whoever started that.
type home struct {
	dir     string // absolute
	sockets string
	user    serverUser
	lock    *os.File
}

// openHome makes the directory where it is missing and takes its lock. It waits
// while the server before it is still shutting down.
func openHome(ctx context.Context, dir string) (*home, error) {
	if dir == "" {
		return nil, errors.New("no directory given")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	user, err := findServerUser()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, user.passableMode()); err != nil {
		return nil, err
	}
	if err := user.mayEnter(dir); err != nil {
		return nil, err
	}
	lock, err := awaitLock(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &home{dir: dir, user: user, lock: lock}, nil
}

// makeSockets makes an empty directory for sockets of that name, in the home
// unless the path is too long for a socket or has what separates hosts in a DSN.
func (h *home) makeSockets(name string) (err error) {
	h.sockets = h.ownSockets()
	if len(filepath.Join(h.sockets, name)) <= maxSocketPath && !strings.Contains(h.sockets, ",") {
		return h.makeOwn(h.sockets)
	}
	if h.sockets, err = os.MkdirTemp("/tmp", "hoko-"); err != nil {
		return err
	}
	return h.user.own(h.sockets)
}

func (h *home) ownSockets() string { return filepath.Join(h.dir, "run") }

// makeOwn makes an empty directory that only the server's user may enter.
func (h *home) makeOwn(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return h.user.own(dir)
}

// unlock lets go of our hold on the lock; the server's own remains.
func (h *home) unlock() { h.lock.Close() }

// leave removes what an ended server has left outside of its home.
func (h *home) leave() {
	if h.sockets != h.ownSockets() {
		os.RemoveAll(h.sockets)
	}
}

// command is a command of the home's user in its home, which holds the lock,
// out of reach of our terminal's Ctrl-C and of our environment (PGPORT and its like change servers too).
func (h *home) command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = h.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.ExtraFiles = []*os.File{h.lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: h.user.credential()}
	return cmd
}

func (h *home) logPath() string { return filepath.Join(h.dir, "log") }

// logTail is the end of the server's log, as far as it can be read.
func (h *home) logTail() string {
	log, err := os.Open(h.logPath())
	if err != nil {
		return err.Error()
	}
	defer log.Close()
	size, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err.Error()
	}
	tail, err := io.ReadAll(io.NewSectionReader(log, max(0, size-tailSize), tailSize))
	if err != nil {
		return err.Error()
	}
	return string(tail)
}
