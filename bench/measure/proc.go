package measure

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat, 1/USER_HZ s on every Linux that Go supports.
const tick = 10 * time.Millisecond

// stat holds fields of /proc/PID/stat.
type stat struct {
	parent int
	reaped time.Duration // time of descendants that ended and were waited for
}

func readStat(pid int) (stat, error) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(string(line))
}

// parseStat returns the fields 4 (ppid), 16 and 17 (cutime, cstime) of proc_pid_stat(5). They
// follow the program's name, which may contain any character.
func parseStat(line string) (stat, error) {
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 15 {
		return stat{}, fmt.Errorf("/proc/PID/stat: %q", line)
	}
	parent, err := strconv.Atoi(fields[1])
	user, err2 := strconv.ParseInt(fields[13], 10, 64)
	system, err3 := strconv.ParseInt(fields[14], 10, 64)
	return stat{parent, time.Duration(user+system) * tick}, errors.Join(err, err2, err3)
}

// children returns all processes by their parent.
func children() (map[int][]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if s, err := readStat(pid); err == nil { // else it has ended
			children[s.parent] = append(children[s.parent], pid)
		}
	}
	return children, nil
}
