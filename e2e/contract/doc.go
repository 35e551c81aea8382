// Package contract tests each response of the edge as docs/api.md publishes it, over every HTTP
// version, and that everything else reaches the site unchanged.
package contract
