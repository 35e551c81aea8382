// Package flood tests that clients that guess keys, send or read slowly, or hold connections open
// do not keep other clients out.
package flood
