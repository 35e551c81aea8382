package testenv

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

var (
	takenPorts   = map[int]bool{}
	takenPortsMu sync.Mutex
)

// FreePort is a loopback port that is free for TCP and UDP, and the test's own
// from then on. It lies below the range from which the kernel gives ports to
// outgoing connections, so that none of those can take it before a server does.
func FreePort(t testing.TB) int {
	t.Helper()
	takenPortsMu.Lock()
	defer takenPortsMu.Unlock()
	for range 1000 {
		port := 10000 + rand.IntN(22000)
		if takenPorts[port] || !isFree(port) {
			continue
		}
		takenPorts[port] = true
		return port
	}
	t.Fatal("no free port")
	return 0
}

func isFree(port int) bool {
	for _, host := range []string{"127.0.0.1", ""} {
		address := fmt.Sprintf("%s:%d", host, port)
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			return false
		}
		tcp.Close()
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			return false
		}
		udp.Close()
	}
	return true
}
