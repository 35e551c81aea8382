// Package tracing tests the traces that the edge exports: a real OTLP receiver in the test's process
// gets them.
package tracing
