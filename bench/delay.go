package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"hoko.to/edge/bench/suite"
)

// delayed is how late everything arrives that goes through a delay, each way.
const delayed = suite.Delay

// serveDelays stands before a server's socket and passes everything on late:
// args are the socket it listens on and the server's.
func serveDelays(stdin io.Reader, stdout io.Writer, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: bench delay <socket> <server's socket>")
	}
	l, err := net.Listen("unix", args[0])
	if err != nil {
		return err
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go passLate(client, args[1])
		}
	}()
	fmt.Fprintln(stdout, args[0])
	_, err = io.Copy(io.Discard, stdin)
	return err
}

func passLate(client net.Conn, server string) {
	defer client.Close()
	up, err := new(net.Dialer).DialContext(context.Background(), "unix", server)
	if err != nil {
		return
	}
	defer up.Close()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, up}, {up, client}} {
		go func() {
			copyLate(way[1], way[0])
			ended <- struct{}{}
		}()
	}
	<-ended
}

// chunk is what was read at once, and when it is due.
type chunk struct {
	data []byte
	due  time.Time
}

// copyLate delays each chunk, not one after the other: as a longer cable would.
func copyLate(to io.Writer, from io.Reader) {
	queue := make(chan chunk, 1024)
	go func() {
		defer close(queue)
		for {
			buf := make([]byte, 16<<10)
			n, err := from.Read(buf)
			if n > 0 {
				queue <- chunk{buf[:n], time.Now().Add(delayed)}
			}
			if err != nil {
				return
			}
		}
	}()
	for c := range queue {
		time.Sleep(time.Until(c.due))
		if _, err := to.Write(c.data); err != nil {
			return
		}
	}
}
