package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"hoko.to/edge/internal/relay"
)

// delayed is how late everything arrives that goes through a delay, each way.
const delayed = time.Millisecond

// serveDelays stands before a server's socket and passes everything on late:
// args are the socket it listens on and the server's.
func serveDelays(stdin io.Reader, stdout io.Writer, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: bench delay <socket> <server's socket>")
	}
	r := relay.New(args[0], args[1])
	for _, way := range []relay.Direction{relay.ToServer, relay.ToClient} {
		r.Delay(way, delayed, 0)
	}
	if err := r.Open(); err != nil {
		return err
	}
	defer r.Close()
	fmt.Fprintln(stdout, args[0])
	_, err := io.Copy(io.Discard, stdin)
	return err
}
