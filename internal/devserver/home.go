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

// maxSocketPath is the longest path of a socket on all platforms, in bytes (Linux 107, macOS 103).
const maxSocketPath = 103

// tailSize is how much of a server's log an error quotes, in bytes.
const tailSize = 2048

// home is a server's directory. It holds the lock and the log, which belong to this process's user,
// and the directories of data and sockets, which belong to the server's user. Only that user and
// root may enter the sockets' directory and so connect.
//
// Every process of a server holds the lock, so if the lock is free, no process of an earlier server
// is left, whichever program started it.
type home struct {
	dir     string // absolute
	sockets string
	user    serverUser
	lock    *os.File
}

// openHome creates the directory if it is missing and takes its lock. It waits for a previous
// server that is still shutting down.
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
	if err := os.MkdirAll(dir, user.dirMode()); err != nil {
		return nil, err
	}
	if err := user.checkAccess(dir); err != nil {
		return nil, err
	}
	lock, err := awaitLock(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &home{dir: dir, user: user, lock: lock}, nil
}

// makeSockets creates an empty directory for a socket with this name. It is in the home unless the
// path is too long for a socket or has a comma, which separates hosts in a DSN.
func (h *home) makeSockets(name string) (err error) {
	h.sockets = h.defaultSockets()
	if len(filepath.Join(h.sockets, name)) <= maxSocketPath && !strings.Contains(h.sockets, ",") {
		return h.makePrivateDir(h.sockets)
	}
	if h.sockets, err = os.MkdirTemp("/tmp", "hoko-"); err != nil {
		return err
	}
	return h.user.chown(h.sockets)
}

func (h *home) defaultSockets() string { return filepath.Join(h.dir, "run") }

// makePrivateDir creates an empty directory that only the server's user may enter.
func (h *home) makePrivateDir(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return h.user.chown(dir)
}

// unlock releases this process's hold on the lock; the server keeps its own.
func (h *home) unlock() { h.lock.Close() }

// cleanUp removes what an ended server left outside its home.
func (h *home) cleanUp() {
	if h.sockets != h.defaultSockets() {
		os.RemoveAll(h.sockets)
	}
}

// command returns a command that runs in the home as the server's user and holds the lock. It gets
// its own process group, so that the terminal's Ctrl-C does not reach it, and a clean environment,
// because variables such as PGPORT change servers too.
func (h *home) command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = h.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.ExtraFiles = []*os.File{h.lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: h.user.credential()}
	return cmd
}

func (h *home) logPath() string { return filepath.Join(h.dir, "log") }

// logTail returns the end of the server's log, or why it cannot be read.
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
