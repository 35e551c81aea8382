//go:build !linux

package postgres

import "syscall"

// setUserTimeout does nothing: TCP_USER_TIMEOUT is not portable. Here only deadlines detect a peer
// that vanishes while a query is being sent.
func setUserTimeout(_, _ string, _ syscall.RawConn) error { return nil }
