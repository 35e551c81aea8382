// Package platforms holds a test that the edge compiles for the platforms that
// nobody who runs the tests may have.
package platforms
