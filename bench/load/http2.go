package load

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
)

const http2Connections = 4

// http2Client is a client that shares its connection with others.
type http2Client struct {
	*http2Conn
	url     string
	request Request
}

func newHTTP2(s Spec) []client {
	conns := make([]*http2Conn, min(s.Connections, http2Connections))
	for i := range conns {
		conns[i] = &http2Conn{address: address(s.URL)}
	}
	clients := make([]client, s.Connections)
	for i := range clients {
		shared := conns[i%len(conns)]
		shared.users++
		clients[i] = &http2Client{shared, "https://" + host(s.URL), s.Request.ForConnection(i)}
	}
	return clients
}

func (c *http2Client) send(ctx context.Context, seq uint64, pick uint32) (int, error) {
	url, body := c.url+expand(c.request.Path, seq, pick), expand(c.request.Body, seq, pick)
	r, err := http.NewRequestWithContext(ctx, c.request.Method, url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	for name, value := range c.request.Header {
		if strings.EqualFold(name, "Host") {
			r.Host = value
		} else {
			r.Header.Set(name, expand(value, seq, pick))
		}
	}
	res, err := c.current().RoundTrip(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// http2Conn is a shared connection that is replaced when it breaks.
type http2Conn struct {
	address string
	mu      sync.Mutex
	users   int
	conn    *http.ClientConn
}

func (c *http2Conn) connect(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		if c.conn.Err() == nil {
			return nil
		}
		c.conn.Close()
	}
	t := &http.Transport{TLSClientConfig: tlsConfig(), Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP2(true)
	conn, err := t.NewClientConn(ctx, "https", c.address)
	if err == nil {
		c.conn = conn
	}
	return err
}

func (c *http2Conn) current() *http.ClientConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

func (c *http2Conn) usable() bool { return c.current().Err() == nil }

// close closes the connection after its last user.
func (c *http2Conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users--; c.users == 0 && c.conn != nil {
		c.conn.Close()
	}
}
