package measure

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a process with all its descendants, such as Postgres and its
// backends.
type Process struct {
	Name string
	PID  int
}

// CPU is user and system time by Process.Name; processes of one name add up.
type CPU map[string]time.Duration

// Sub is what was used since before.
func (c CPU) Sub(before CPU) CPU {
	used := CPU{}
	for name, time := range c {
		used[name] = time - before[name]
	}
	return used
}

// Snapshot is the CPU time used so far by all processes, their descendants, and
// those of their descendants that have ended. It works on Linux.
//
// A live process is read from its CPU clock: to the nanosecond, and with the
// threads that have ended. The ticks of /proc/PID/stat are the same figure
// rounded down, twice a process, too coarse for many backends and a short time;
// /proc/PID/task/*/schedstat loses a thread that ends. The time of a process
// that has ended and was waited for is in the ticks of its parent.
func Snapshot(processes ...Process) (CPU, error) {
	for range 10 {
		used, err := snapshot(processes)
		if !errors.Is(err, errMoved) {
			return used, err
		}
	}
	return nil, errMoved
}

// errMoved is for a process that ended meanwhile: its time moved to its parent,
// and would be counted twice or not at all.
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

// tree adds up root and its descendants: first what those that ended have left
// behind, then the clocks, then whether anything was left behind meanwhile.
func tree(root int, children map[int][]int) (time.Duration, error) {
	var used time.Duration
	members := []int{root}
	before := map[int]stat{}
	for i := 0; i < len(members); i++ {
		s, err := readStat(members[i])
		if err != nil {
			return 0, gone(members[i] == root, err)
		}
		before[members[i]] = s
		used += s.reaped
		members = append(members, children[members[i]]...)
	}
	for _, pid := range members {
		time, err := clock(pid)
		if err != nil {
			return 0, gone(pid == root, err)
		}
		used += time
	}
	for _, pid := range members {
		if s, err := readStat(pid); err != nil || s != before[pid] {
			return 0, gone(pid == root, err)
		}
	}
	return used, nil
}

// gone makes the end of a descendant a reason to look again.
func gone(root bool, err error) error {
	if root && err != nil {
		return err
	}
	return errMoved
}

// clock is the CPU time of all threads of a process. The kernel makes the
// number of the clock out of that of the process, see clock_getcpuclockid(3).
func clock(pid int) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
