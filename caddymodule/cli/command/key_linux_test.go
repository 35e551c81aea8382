package command_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"hoko.to/edge/caddymodule/cli/command"
)

type readKey struct {
	key string
	err error
}

// askForKey reads a key from a terminal, whose echo is off when askForKey returns.
func askForKey(t *testing.T, ctx context.Context, terminal *os.File) (result <-chan readKey, restored func() bool) {
	t.Helper()
	state := func() *term.State {
		state, err := term.GetState(int(terminal.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	before, read, prompt := state(), make(chan readKey, 1), new(bytes.Buffer)
	cmd := &cobra.Command{Use: "show", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, _ []string) error {
		key, err := command.Key(cmd)
		if !strings.HasPrefix(prompt.String(), "Paste the key") {
			t.Errorf("it prompts %q", prompt)
		}
		read <- readKey{key, err}
		return nil
	}}
	cmd.SetIn(terminal)
	cmd.SetErr(prompt)
	cmd.SetArgs([]string{"-"})
	go cmd.ExecuteContext(ctx) // until the key is read or ctx ends
	restored = func() bool { return reflect.DeepEqual(state(), before) }
	for restored() {
		runtime.Gosched()
	}
	return read, restored
}

func TestKey_TerminalDoesNotShowIt(t *testing.T) {
	screen, terminal := openTerminal(t)
	read, restored := askForKey(t, t.Context(), terminal)
	if _, err := screen.WriteString("hoko_secret\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got.key != "hoko_secret" || got.err != nil || !restored() {
		t.Errorf("got %+v; echo is on again: %t", got, restored())
	}
	if _, err := terminal.WriteString("shown"); err != nil {
		t.Fatal(err)
	}
	shown := make([]byte, 100)
	if n, err := screen.Read(shown); err != nil || string(shown[:n]) != "\r\nshown" && string(shown[:n]) != "shown" {
		t.Errorf("the terminal shows %q, %v", shown[:n], err)
	}
}

// Ctrl-C cancels the context.
func TestKey_InterruptRestoresTheTerminal(t *testing.T) {
	screen, terminal := openTerminal(t)
	defer screen.WriteString("\n") // ends the read
	ctx, cancel := context.WithCancel(t.Context())
	read, restored := askForKey(t, ctx, terminal)
	cancel()
	if got := <-read; !errors.Is(got.err, context.Canceled) || !restored() {
		t.Errorf("got %+v; echo is on again: %t", got, restored())
	}
}
