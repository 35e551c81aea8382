// Package flow tests how sales flow while more arrive than Postgres can commit, while connections
// hang, and while one workspace makes others wait. docs/overload.md describes the behavior.
package flow
