package postgres

import (
	"cmp"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// setUserTimeout sets TCP_USER_TIMEOUT: keep-alive probes pause while sent data is unacknowledged.
func setUserTimeout(network, _ string, raw syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var setErr error
	err := raw.Control(func(fd uintptr) {
		ms := int(PeerTimeout.Milliseconds())
		setErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms)
	})
	return cmp.Or(err, setErr)
}
