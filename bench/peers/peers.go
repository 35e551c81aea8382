// Package peers embeds the alternatives that the edge is compared with, and their test data.
package peers

import "embed"

// Files contains the scripts of pgbench, the Fastify service, and the configurations of HAProxy and
// nginx.
//
//go:embed haproxy nginx pgbench/*.sql fastify/*.js fastify/*.json fastify/.npmrc
var Files embed.FS

// Seed inserts the rows that all sides use. :customers stands for the number of customers.
//
//go:embed seed.sql
var Seed string

// SaleSQL creates the functions that the scripts of pgbench and the service call.
//
//go:embed pgbench/sale.sql
var SaleSQL string

// Sale is the published example with the customer {pick}, an 8-digit number. It leaves the
// customers of Seed unchanged.
//
//go:embed request.json
var Sale string
