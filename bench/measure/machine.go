package measure

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Machine describes hardware and operating system, without a host name.
type Machine struct {
	model, system, kernel string
	memory                int64 // bytes
}

// FindMachine describes this machine. It returns an error if /proc is missing, as it is outside
// Linux.
func FindMachine() (m Machine, err error) {
	cpu, err := os.ReadFile("/proc/cpuinfo")
	memory, err2 := os.ReadFile("/proc/meminfo")
	kernel, err3 := os.ReadFile("/proc/sys/kernel/osrelease")
	if err := errors.Join(err, err2, err3); err != nil {
		return m, fmt.Errorf("measuring needs /proc of Linux: %w", err)
	}
	m = Machine{Field(cpu, "model name", ":"), "Linux", strings.TrimSpace(string(kernel)), 0}
	if release, err := os.ReadFile("/etc/os-release"); err == nil {
		m.system = strings.Trim(Field(release, "PRETTY_NAME", "="), `"`)
	}
	m.memory, err = bytesIn(memory, "MemTotal")
	return m, err
}

// String returns the description as one line.
func (m Machine) String() string {
	return fmt.Sprintf("%d × %s (%s), %.0f GB of memory, %s, kernel %s", runtime.NumCPU(), cmp.Or(m.model, "CPU"),
		runtime.GOARCH, float64(m.memory)/(1<<30), m.system, m.kernel)
}

// LargeCache returns 40 % of the memory as a value for shared_buffers, the most that PostgreSQL's
// manual recommends.
func (m Machine) LargeCache() string { return fmt.Sprintf("%dMB", m.memory*2/5>>20) }

// Memory returns the resident memory of a process in bytes. It includes shared memory and excludes
// descendants.
func Memory(pid int) (int64, error) {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	return bytesIn(rollup, "Rss")
}

// bytesIn returns the field of a /proc file that is in kB, in bytes.
func bytesIn(text []byte, name string) (int64, error) {
	kilobytes, err := strconv.ParseInt(strings.TrimSuffix(Field(text, name, ":"), " kB"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	return kilobytes << 10, nil
}

// Field returns the value of the first line that consists of name, separator and a value. It
// returns an empty string if there is none.
func Field(text []byte, name, separator string) string {
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(string(line), separator)
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
