// Package failure breaks Postgres, Redis, the site and the clocks of a running edge, and tests what
// docs/failure.md says of each.
package failure
