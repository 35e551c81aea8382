package measure

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a process with all its descendants, such as Postgres with its backends.
type Process struct {
	Name string
	PID  int
}

// CPU is user plus system time by Process.Name. Processes with the same name add up.
type CPU map[string]time.Duration

// Sub returns the time used since before.
func (c CPU) Sub(before CPU) CPU {
	used := CPU{}
	for name, time := range c {
		used[name] = time - before[name]
	}
	return used
}

// Snapshot returns the CPU time used so far by the processes and their live and ended descendants.
// It returns an error if a process does not exist, or if descendants keep ending during ten
// attempts.
//
// For a live process it reads the CPU clock, which has nanoseconds and includes ended threads. The
// ticks of /proc/PID/stat are too coarse for many backends and short times, and
// /proc/PID/task/*/schedstat omits ended threads. The time of a process that has ended and was
// waited for is in the ticks of its parent.
func Snapshot(processes ...Process) (CPU, error) {
	for range 10 {
		used, err := snapshot(processes)
		if !errors.Is(err, errMoved) {
			return used, err
		}
	}
	return nil, errMoved
}

// errMoved means that a process ended during the snapshot. Its time moved to its parent and would
// be counted twice or not at all.
var errMoved = errors.New("read the CPU time: processes keep ending")

func snapshot(processes []Process) (CPU, error) {
	children, err := children()
	if err != nil {
		return nil, err
	}
	used := CPU{}
	for _, p := range processes {
		time, err := tree(p.PID, children)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		used[p.Name] += time
	}
	return used, nil
}

// tree returns the time of root and its descendants. It reads the time of ended children, then the
// clocks, and then checks that no process has ended in between.
func tree(root int, children map[int][]int) (time.Duration, error) {
	var used time.Duration
	members := []int{root}
	before := map[int]stat{}
	for i := 0; i < len(members); i++ {
		s, err := readStat(members[i])
		if err != nil {
			return 0, endError(members[i] == root, err)
		}
		before[members[i]] = s
		used += s.reaped
		members = append(members, children[members[i]]...)
	}
	for _, pid := range members {
		time, err := clock(pid)
		if err != nil {
			return 0, endError(pid == root, err)
		}
		used += time
	}
	for _, pid := range members {
		if s, err := readStat(pid); err != nil || s != before[pid] {
			return 0, endError(pid == root, err)
		}
	}
	return used, nil
}

// endError returns err for the root and errMoved for a descendant.
func endError(root bool, err error) error {
	if root && err != nil {
		return err
	}
	return errMoved
}

// clock returns the CPU time of all threads of a process. For the clock's number see
// clock_getcpuclockid(3).
func clock(pid int) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
