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

// LockedError reports that another process holds the lock of a directory.
type LockedError struct {
	Dir string
	PID int // of that process; 0 if unknown
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return e.Dir + " is in use by another process"
	}
	return fmt.Sprintf("%s is in use by process %d", e.Dir, e.PID)
}

// Lock locks a directory until the returned lock is closed or this process ends, even by kill -9.
// The directory must exist. If another process holds the lock, the error is a *LockedError.
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

// awaitLock waits until it can lock the directory.
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

// readPID returns the number in the first line of a file, or 0.
func readPID(path string) int {
	text, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(line)
	return pid
}
