package devserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// LockedError says that another process holds a directory's lock.
type LockedError struct {
	Dir string
	PID int // 0 where it is not known
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return e.Dir + " is in use by another process"
	}
	return fmt.Sprintf("%s is in use by process %d", e.Dir, e.PID)
}

// Lock takes a directory for this process until it closes the lock or ends, by
// kill -9 too. Where another process has it, the error is a *LockedError.
func Lock(dir string) (io.Closer, error) {
	lock, err := tryLock(dir)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, &LockedError{Dir: dir, PID: readPID(lockPath(dir))}
	}
	if err != nil {
		return nil, err
	}
	if err := writePID(lock); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// awaitLock waits until no other process has the directory.
func awaitLock(ctx context.Context, dir string) (*os.File, error) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		lock, err := tryLock(dir)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("a server is running in %s: %w", dir, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

func lockPath(dir string) string { return filepath.Join(dir, "lock") }

func tryLock(dir string) (*os.File, error) {
	file, err := os.OpenFile(lockPath(dir), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return file, nil
}

func writePID(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err := lock.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	return err
}

// readPID is the number in the first line of a file, 0 where there is none.
func readPID(path string) int {
	text, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(line)
	return pid
}
