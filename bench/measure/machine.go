package measure

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Machine is what figures depend on, without its name.
type Machine struct {
	model, system, kernel string
	memory                int64 // bytes
}

// FindMachine describes this machine. It works on Linux.
func FindMachine() (m Machine, err error) {
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, fmt.Errorf("CPU is measured by Linux's /proc: %w", err)
	}
	memory, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return m, err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return m, err
	}
	m = Machine{Field(cpu, "model name", ":"), "Linux", strings.TrimSpace(string(kernel)), 0}
	if release, err := os.ReadFile("/etc/os-release"); err == nil {
		m.system = strings.Trim(Field(release, "PRETTY_NAME", "="), `"`)
	}
	m.memory, err = bytesIn(memory, "MemTotal")
	return m, err
}

func (m Machine) String() string {
	return fmt.Sprintf("%d × %s (%s), %.0f GB of memory, %s, kernel %s", runtime.NumCPU(), cmp.Or(m.model, "CPU"),
		runtime.GOARCH, float64(m.memory)/(1<<30), m.system, m.kernel)
}

// LargeCache returns as much of the memory as PostgreSQL's manual recommends at most for
// shared_buffers, as a setting.
func (m Machine) LargeCache() string { return fmt.Sprintf("%dMB", m.memory*2/5>>20) }

// Memory returns what a process holds in RAM, in bytes: what it shares with others included, its
// descendants not.
func Memory(pid int) (int64, error) {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	return bytesIn(rollup, "Rss")
}

// bytesIn returns a field of /proc in kB as bytes.
func bytesIn(text []byte, name string) (int64, error) {
	kilobytes, err := strconv.ParseInt(strings.TrimSuffix(Field(text, name, ":"), " kB"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	return kilobytes << 10, nil
}

// Field returns the value of the first line of this name, empty if there is none.
func Field(text []byte, name, separator string) string {
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(string(line), separator)
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
