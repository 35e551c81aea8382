package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
)

// What a child says on its standard output before its Result.
const saysMeasuring, saysDone = "measuring", "done"

// Main reads a Spec as JSON, runs it, and writes a line when the warm-up ends,
// one when the measured time does, and the Result as JSON. Unless GOMAXPROCS is
// set, it keeps to one core.
func Main(stdin io.Reader, stdout io.Writer) error {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	var s Spec
	if err := json.NewDecoder(stdin).Decode(&s); err != nil {
		return fmt.Errorf("read the spec: %w", err)
	}
	say := func(what string) func() { return func() { fmt.Fprintln(stdout, what) } }
	result, err := run(context.Background(), s, say(saysMeasuring), say(saysDone))
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(result)
}

// Child is a generator in a process of its own.
type Child struct {
	cmd                    *exec.Cmd
	stderr                 bytes.Buffer
	measuring, done, ended chan struct{}
	result                 *Result
	err                    error
}

// Start runs this executable with the argument "load", at which it has to call
// Main. The child is killed when ctx ends.
func Start(ctx context.Context, s Spec) (*Child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spec, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	c := &Child{cmd: exec.CommandContext(ctx, self, "load"), measuring: make(chan struct{}), done: make(chan struct{}), ended: make(chan struct{})}
	c.cmd.Stdin, c.cmd.Stderr = bytes.NewReader(spec), &c.stderr
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the load generator: %w", err)
	}
	go func() {
		defer close(c.ended)
		c.err = c.follow(ctx, stdout)
	}()
	return c, nil
}

// follow also opens both channels when the child ends before its time.
func (c *Child) follow(ctx context.Context, stdout io.Reader) error {
	measuring := sync.OnceFunc(func() { close(c.measuring) })
	done := sync.OnceFunc(func() { close(c.done) })
	defer done()
	defer measuring()
	var broken error
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		switch line := lines.Bytes(); string(line) {
		case saysMeasuring:
			measuring()
		case saysDone:
			done()
		default:
			broken = json.Unmarshal(line, &c.result)
		}
	}
	err := c.cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("load generator: %w: %s", err, bytes.TrimSpace(c.stderr.Bytes()))
	case broken != nil:
		return fmt.Errorf("load generator: read its result: %w", broken)
	case c.result == nil:
		return errors.New("load generator: ended without a result")
	}
	return nil
}

// Measuring is closed when the warm-up ended, or the child did.
func (c *Child) Measuring() <-chan struct{} { return c.measuring }

// Done is closed when the measured time ended, or the child did.
func (c *Child) Done() <-chan struct{} { return c.done }

// PID is the child's.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Wait returns once the child has ended.
func (c *Child) Wait() (Result, error) {
	<-c.ended
	if c.err != nil {
		return Result{}, c.err
	}
	return *c.result, nil
}
