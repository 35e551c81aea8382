// Package adopting tests the edge over the tables of an existing site, as docs/adopting.md sets
// them up: sales, keys, the doctor, and the plans of all statements.
package adopting
