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

// These lines precede the Result on the standard output of the load process.
const lineMeasuring, lineDone = "measuring", "done"

// Main is the load process that Run starts. It reads a Spec as JSON, executes it, and writes a line
// when the warm-up ends, a line when the measured time ends, and the Result as JSON. It uses one
// core unless GOMAXPROCS is set. It returns an error if the Spec is invalid or a connection fails.
func Main(stdin io.Reader, stdout io.Writer) error {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	var s Spec
	if err := json.NewDecoder(stdin).Decode(&s); err != nil {
		return fmt.Errorf("read the spec: %w", err)
	}
	print := func(line string) func() { return func() { fmt.Fprintln(stdout, line) } }
	result, err := run(context.Background(), s, print(lineMeasuring), print(lineDone))
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(result)
}

// Run executes s in a separate process: this executable with the argument "load", for which it must
// call Main. Run calls begin when the warm-up ends and end when the measured time ends, and returns
// their errors. The process is killed when ctx ends; the error is then the cause of ctx.
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

// follow reads the output of the process until it ends.
func follow(stdout io.Reader, begin, end func() error) (result *Result, err error) {
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		switch line := lines.Bytes(); string(line) {
		case lineMeasuring:
			err = errors.Join(err, begin())
		case lineDone:
			err = errors.Join(err, end())
		default:
			err = errors.Join(err, json.Unmarshal(line, &result))
		}
	}
	return result, err
}
