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
)

// What the process says on its standard output before its Result.
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

// Run runs s in a process of its own: this executable with the argument "load", at which it has to
// call Main. It calls begin when the warm-up has ended and end when the measured time has. The
// process is killed when ctx ends.
func Run(ctx context.Context, s Spec, begin, end func() error) (Result, error) {
	self, err := os.Executable()
	if err != nil {
		return Result{}, err
	}
	spec, err := json.Marshal(s)
	if err != nil {
		return Result{}, err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, self, "load")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(spec), &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return Result{}, err
	}
	if err := cmd.Start(); err != nil {
		return Result{}, fmt.Errorf("start the load generator: %w", err)
	}
	result, err := follow(stdout, begin, end)
	ended := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return Result{}, context.Cause(ctx)
	case ended != nil:
		return Result{}, fmt.Errorf("load generator: %w: %s", ended, bytes.TrimSpace(stderr.Bytes()))
	case err == nil && result == nil:
		err = errors.New("load generator: ended without a result")
	}
	if err != nil {
		return Result{}, err
	}
	return *result, nil
}

// follow reads what the process says until it ends.
func follow(stdout io.Reader, begin, end func() error) (result *Result, err error) {
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		switch line := lines.Bytes(); string(line) {
		case saysMeasuring:
			err = errors.Join(err, begin())
		case saysDone:
			err = errors.Join(err, end())
		default:
			err = errors.Join(err, json.Unmarshal(line, &result))
		}
	}
	return result, err
}
