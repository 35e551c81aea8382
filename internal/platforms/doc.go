// Package platforms holds a test that the edge compiles for the platforms that
// the machine that runs the tests is not.
package platforms
