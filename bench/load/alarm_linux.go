package load

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// alarm sleeps with microsecond precision. An idle Go runtime waits for its timers in whole
// milliseconds, but a timerfd wakes its poller on time.
type alarm struct {
	file    *os.File
	raw     syscall.RawConn
	period  time.Duration
	armed   bool
	attempt func(fd uintptr) bool
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	a := &alarm{file: os.NewFile(uintptr(fd), "timerfd")}
	a.attempt = a.try
	if a.raw, err = a.file.SyscallConn(); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *alarm) sleep(d time.Duration) {
	a.period, a.armed = d, false
	if a.raw.Read(a.attempt) != nil {
		time.Sleep(d)
	}
}

// try arms the timer in its first call and returns true in the next, after the timer has expired.
func (a *alarm) try(fd uintptr) bool {
	if a.armed {
		return true
	}
	a.armed = true
	return unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(a.period))}, nil) != nil
}

func (a *alarm) close() { a.file.Close() }
