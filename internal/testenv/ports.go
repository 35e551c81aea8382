package testenv

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// FreePort returns a port that is free for TCP and UDP, and reserves it until the test ends, among
// all test binaries. The port is below the range of outgoing connections, so none of these can take
// it before a server listens.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 10000 + rand.IntN(22000)
		lock, err := lockPort(port)
		if err != nil {
			t.Fatal(err)
		}
		if lock == nil {
			continue
		}
		if !isFree(port) {
			lock.Close()
			continue
		}
		t.Cleanup(func() { lock.Close() })
		return port
	}
	t.Fatal("no free port")
	return 0
}

// lockPort returns nil if another test has reserved the port.
func lockPort(port int) (*os.File, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("hoko-test-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(port)), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		lock.Close()
		return nil, nil
	}
	return lock, nil
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
