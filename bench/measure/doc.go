// Package measure reads the CPU time and the memory of processes, and describes the machine that
// they run on.
package measure
