// Package contract tests that the edge answers as docs/api.md publishes, and that everything else
// reaches the site unchanged.
package contract
