package command_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"hoko.to/edge/caddymodule/cli/command"
)

// openTerminal returns both ends of a pseudoterminal.
func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	var unlocked, number uint32
	for request, value := range map[uintptr]*uint32{syscall.TIOCSPTLCK: &unlocked, syscall.TIOCGPTN: &number} {
		pointer := uintptr(unsafe.Pointer(value))
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, screen.Fd(), request, pointer); errno != 0 {
			t.Fatal(errno)
		}
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return screen, terminal
}

func TestWriteTable_ColorsOnTerminalsOnly(t *testing.T) {
	screen, terminal := openTerminal(t)
	rows := [][]command.Cell{
		{{Text: "NAME"}, {Text: "STATE"}, {Text: "KEYS"}},
		{{Text: "Zoë"}, {Text: "disabled", Color: command.Red}, {Text: "1"}},
	}
	const plain, painted = "NAME  STATE     KEYS\nZoë   disabled  1\n",
		"NAME  STATE     KEYS\nZoë   \x1b[31mdisabled\x1b[0m  1\n"
	var buffer bytes.Buffer
	if err := command.WriteTable(&buffer, rows); err != nil || buffer.String() != plain {
		t.Errorf("a buffer gets %q, %v", &buffer, err)
	}
	for _, c := range []struct{ term, noColor, want string }{
		{"xterm", "", painted}, {"", "", painted}, {"dumb", "", plain}, {"xterm", "1", plain},
	} {
		t.Setenv("TERM", c.term)
		t.Setenv("NO_COLOR", c.noColor)
		if err := command.WriteTable(terminal, rows); err != nil {
			t.Fatal(err)
		}
		shown := make([]byte, 1024)
		n, err := screen.Read(shown)
		if got := strings.ReplaceAll(string(shown[:n]), "\r\n", "\n"); err != nil || got != c.want {
			t.Errorf("TERM %q, NO_COLOR %q: %q, %v", c.term, c.noColor, got, err)
		}
	}
	t.Setenv("NO_COLOR", "")
	if got := command.Paint(terminal, command.Green, "ok"); got != "\x1b[32mok\x1b[0m" {
		t.Errorf("painted %q", got)
	}
	if got := command.Paint(terminal, command.Plain, "ok"); got != "ok" {
		t.Errorf("plain text became %q", got)
	}
}
