package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// KeyHelp says how an argument names a key.
const KeyHelp = `<key> is its id, its first characters as caddy hoko keys list shows them, its SHA-256
in hex, or - to read the whole key from standard input, so that it is not in ps and
the history of the shell.`

// Key returns the key that the first argument names, which is read from standard input if it is -.
// It may be a whole key, so it must not be printed.
func Key(cmd *cobra.Command) (string, error) {
	which := cmd.Flags().Arg(0)
	if which != "-" {
		return which, nil
	}
	line, err := readLine(cmd)
	if key := strings.TrimSpace(line); key != "" {
		return key, nil
	}
	if err != nil {
		return "", fmt.Errorf("read the key from standard input: %w", err)
	}
	return "", errors.New("standard input is empty: it must contain the key")
}

// readLine reads a line from standard input. If that is a terminal, it asks for the key, which the
// terminal then does not show.
func readLine(cmd *cobra.Command) (string, error) {
	terminal, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		input := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), maxLine))
		return untilDone(cmd, func() (string, error) { return input.ReadString('\n') })
	}
	fd := int(terminal.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprint(cmd.ErrOrStderr(), "Paste the key and press Enter; it is not shown: ")
	defer fmt.Fprintln(cmd.ErrOrStderr())
	line, err := untilDone(cmd, func() (string, error) {
		line, err := term.ReadPassword(fd)
		return string(line), err
	})
	if cmd.Context().Err() != nil {
		err = errors.Join(err, term.Restore(fd, state))
	}
	return line, err
}

// maxLine bounds the line that is read, in bytes. It is much longer than any key.
const maxLine = 4 << 10

// untilDone returns what read returns, or an error when the command is interrupted.
func untilDone(cmd *cobra.Command, read func() (string, error)) (string, error) {
	type input struct {
		line string
		err  error
	}
	done := make(chan input, 1)
	go func() { // ends with the line, or with the process if that is interrupted
		line, err := read()
		done <- input{line, err}
	}()
	select {
	case in := <-done:
		return in.line, in.err
	case <-cmd.Context().Done():
		return "", context.Cause(cmd.Context())
	}
}
