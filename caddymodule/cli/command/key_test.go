package command_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
)

// readFrom reads a key from an input that is not a terminal.
func readFrom(ctx context.Context, input io.Reader) (key string, err error) {
	cmd := &cobra.Command{Use: "show", Args: cobra.ExactArgs(1), SilenceErrors: true, SilenceUsage: true}
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		key, err = command.Key(cmd)
		return err
	}
	cmd.SetIn(input)
	cmd.SetArgs([]string{"-"})
	err = cmd.ExecuteContext(ctx)
	return key, err
}

// SIGTERM cancels the context while a pipe stays open.
func TestKey_PipeIsInterruptible(t *testing.T) {
	input, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readFrom(ctx, input); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestKey_InputIsBounded(t *testing.T) {
	input := strings.NewReader(strings.Repeat("x", 1<<20))
	if key, err := readFrom(t.Context(), input); len(key) > 4<<10 || input.Len() < 1<<19 {
		t.Errorf("read %d bytes, %d are left: %v", len(key), input.Len(), err)
	}
}
