package command

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
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
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if key := strings.TrimSpace(line); key != "" {
		return key, nil
	}
	if err != nil {
		return "", fmt.Errorf("read the key from standard input: %w", err)
	}
	return "", errors.New("standard input is empty: it must contain the key")
}
