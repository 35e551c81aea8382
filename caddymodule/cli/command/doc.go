// Package command provides what the `caddy hoko` commands share: the flags for the database, the
// configuration and the admin endpoint, arguments that name keys, and output.
package command
