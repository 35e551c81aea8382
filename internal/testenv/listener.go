package testenv

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// AwaitOneListener returns once only one socket listens on a TCP port. After a reload, the socket
// of the old config is open for a moment, and loses connections that it gets while it closes.
// Without /proc, it returns immediately.
func AwaitOneListener(t testing.TB, port int) {
	t.Helper()
	Until(t, "the old config has stopped listening", func() bool { return listeners(port) <= 1 })
}

// listeners returns how many sockets of one address family listen on a port.
func listeners(port int) (most int) {
	const stateListen = "0A"
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, _ := os.ReadFile(file)
		found := 0
		for line := range strings.Lines(string(table)) {
			fields := strings.Fields(line) // number, local address, remote address, state
			if len(fields) > 3 && fields[3] == stateListen && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
				found++
			}
		}
		most = max(most, found)
	}
	return most
}
