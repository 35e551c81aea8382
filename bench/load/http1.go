package load

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"time"
)

// http1 is a client with one connection and its buffers. A request costs one write and one or two
// reads, and allocates only the 32 bytes of crypto/tls.
type http1 struct {
	address   string
	secure    bool
	request   template
	responses responseReader

	conn   net.Conn
	stream io.ReadWriter // conn, or TLS over it
	closed bool          // by the server or after an error
	unhook func() bool
}

func newHTTP1(address string, secure bool, t template) *http1 {
	return &http1{address: address, secure: secure, request: t}
}

func (c *http1) connect(ctx context.Context) error {
	c.close()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.address)
	if err != nil {
		return err
	}
	c.conn = conn
	c.unhook = context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	c.stream = conn
	if c.secure {
		secure := tls.Client(conn, tlsConfig())
		if err := secure.HandshakeContext(ctx); err != nil {
			c.close()
			return err
		}
		c.stream = secure
	}
	c.responses.from, c.responses.r, c.responses.w = c.stream, 0, 0
	c.closed = false
	return nil
}

func (c *http1) send(_ context.Context, seq uint64, pick uint32) (int, error) {
	c.request.fill(seq, pick)
	if _, err := c.stream.Write(c.request.wire); err != nil {
		c.closed = true
		return 0, err
	}
	got, err := c.responses.next(c.request.head)
	c.closed = got.close || err != nil
	return got.status, err
}

func (c *http1) usable() bool { return !c.closed }

func (c *http1) close() {
	if c.conn == nil {
		return
	}
	c.unhook()
	c.conn.Close()
	c.conn = nil
}

func tlsConfig() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", MinVersion: tls.VersionTLS13}
}
