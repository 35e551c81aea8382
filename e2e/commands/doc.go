// Package commands tests what an operator runs: the `caddy hoko` commands, script/dev, the image,
// and the commands in docs/operations.md and docs/first-sale.md as printed.
package commands
