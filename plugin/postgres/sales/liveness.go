package sales

import (
	"context"
	"crypto/tls"
	"net"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// isLive tells whether the other end has closed an unused connection, or said
// that it will, without sending anything: what is sent to a dead one has an
// unknown outcome, what waits for a new one is known not to be recorded.
func isLive(conn *pgconn.PgConn) bool {
	if silent(conn.Conn()) {
		return true
	}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		message, err := conn.ReceiveMessage(ctx)
		cancel()
		if err != nil {
			return pgconn.Timeout(err) // nothing to read, but for what TLS keeps to itself
		}
		if _, farewell := message.(*pgproto3.ErrorResponse); farewell {
			return false
		}
	}
}

// silent is true where the connection is open and there is nothing to read.
func silent(conn net.Conn) (nothing bool) {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	// Control and not Read, which would wait for a reader that pgx may have left in the background.
	err = raw.Control(func(fd uintptr) {
		var peeked [1]byte
		_, _, err := syscall.Recvfrom(int(fd), peeked[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		nothing = err == syscall.EAGAIN
	})
	return nothing && err == nil
}
