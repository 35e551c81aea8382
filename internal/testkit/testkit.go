// Package testkit helps tests of packages that internal/testenv imports. It imports only the
// standard library and OpenTelemetry.
package testkit

import (
	"net"
	"net/http"
	"testing"
)

// NoError ends the test as failed if err is not nil.
func NoError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ServePipe serves HTTP/1.1 on one end of a net.Pipe until the test ends and returns the other end.
// Unlike a socket, a pipe works in a testing/synctest bubble.
func ServePipe(t testing.TB, h http.Handler) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	closed, served := make(chan struct{}), make(chan struct{})
	s := &http.Server{Handler: h, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(closed)
		}
	}}
	listener := pipeListener{conns: make(chan net.Conn, 1)}
	listener.conns <- server
	go func() { s.Serve(listener); close(served) }()
	t.Cleanup(func() {
		client.Close()
		<-closed
		s.Close()
		<-served
	})
	return client
}

// pipeListener accepts the connections in conns. http.Server asks for no address.
type pipeListener struct {
	net.Listener
	conns chan net.Conn
}

func (l pipeListener) Accept() (net.Conn, error) {
	if conn, ok := <-l.conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (l pipeListener) Close() error { close(l.conns); return nil }
