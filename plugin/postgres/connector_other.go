//go:build !linux

package postgres

import "syscall"

// giveUpUnanswered has no portable equivalent: deadlines alone notice a peer
// that vanished while a query was being sent.
func giveUpUnanswered(_, _ string, _ syscall.RawConn) error { return nil }
