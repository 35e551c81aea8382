// Package tracing tests the traces that the edge exports to an OTLP receiver in the test's process.
package tracing
