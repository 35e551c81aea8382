package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"hoko.to/edge/internal/relay"
)

// oneWayDelay is the delay that serveDelays adds in each direction.
const oneWayDelay = time.Millisecond

// serveDelays forwards connections between two Unix sockets with a delay. args are the path to
// listen on and the path of the server. It prints the first path once it listens, and returns when
// stdin ends.
func serveDelays(stdin io.Reader, stdout io.Writer, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: bench delay <socket> <server socket>")
	}
	r := relay.New(args[0], args[1])
	for _, direction := range []relay.Direction{relay.ToServer, relay.ToClient} {
		r.Delay(direction, oneWayDelay, 0)
	}
	if err := r.Open(); err != nil {
		return err
	}
	defer r.Close()
	fmt.Fprintln(stdout, args[0])
	_, err := io.Copy(io.Discard, stdin)
	return err
}
