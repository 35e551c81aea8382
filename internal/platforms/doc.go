// Package platforms tests that the edge compiles for platforms other than the current one.
package platforms
