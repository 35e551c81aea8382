package load

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// alarm sleeps to the microsecond. The timers of Go's runtime wait in whole
// milliseconds when there is nothing else to do; a timerfd wakes the same
// poller in time.
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

// try arms the timer first and is called again when it has expired.
func (a *alarm) try(fd uintptr) bool {
	if a.armed {
		return true
	}
	a.armed = true
	return unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(a.period))}, nil) != nil
}

func (a *alarm) close() { a.file.Close() }
