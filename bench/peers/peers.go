// Package peers holds what the edge is measured against, and the sale and the rows of all sides.
package peers

import "embed"

// Files are pgbench's scripts and the Fastify service.
//
//go:embed pgbench/*.sql fastify/*.js fastify/*.json fastify/.npmrc
var Files embed.FS

// Seed has the rows that all sides are measured on; :customers stands for their number.
//
//go:embed seed.sql
var Seed string

// Statement makes the functions that pgbench's scripts and the service call.
//
//go:embed pgbench/sale.sql
var Statement string

// Sale is the published example, of customer {pick}; it leaves its customer as seeded.
//
//go:embed request.json
var Sale string
