package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// machine is what the figures depend on, without a name of its own.
type machine struct {
	model, system, kernel string
	memory                int64 // bytes
}

func findMachine() (m machine, err error) {
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
	kilobytes, err := strconv.ParseInt(strings.TrimSuffix(field(memory, "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return m, fmt.Errorf("/proc/meminfo: %w", err)
	}
	m = machine{field(cpu, "model name"), "Linux", strings.TrimSpace(string(kernel)), kilobytes << 10}
	if release, err := os.ReadFile("/etc/os-release"); err == nil {
		m.system = strings.Trim(fieldAfter(release, "PRETTY_NAME", "="), `"`)
	}
	return m, nil
}

func (m machine) String() string {
	return fmt.Sprintf("%d × %s (%s), %.0f GB of memory, %s, kernel %s", runtime.NumCPU(), cmp.Or(m.model, "CPU"), runtime.GOARCH, float64(m.memory)/(1<<30), m.system, m.kernel)
}

// largeCache is as much of the memory as Postgres's manual would still give it, as its settings write it.
func (m machine) largeCache() string { return fmt.Sprintf("%dMB", m.memory*2/5>>20) }

// field is the first of that name.
func field(text []byte, name string) string { return fieldAfter(text, name, ":") }

func fieldAfter(text []byte, name, separator string) string {
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(string(line), separator)
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
