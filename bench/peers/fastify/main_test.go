package fastify_test

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

// hangGuard ends a test that waits for something that never comes.
const hangGuard = 2 * time.Minute

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	err := install()
	if err == nil {
		err = readSources()
	}
	if err == nil {
		err = testenv.BuildEdge()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return testenv.Main(m)
}

// install runs npm ci, unless the last one was for the same lock file.
func install() error {
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		return err
	}
	const stampFile = "node_modules/.installed"
	stamp := fmt.Sprintf("%x", sha256.Sum256(lock))
	if last, err := os.ReadFile(stampFile); err == nil && string(last) == stamp {
		return nil
	}
	if out, err := exec.Command("npm", "ci").CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w (script/bootstrap --test installs nodejs and npm)\n%s", err, out)
	}
	return os.WriteFile(stampFile, []byte(stamp), 0o644)
}

// readSources shows go test what node will read: it would not run again for a change that it has not seen.
func readSources() error {
	sources, err := filepath.Glob("*.js")
	if err != nil {
		return err
	}
	for _, source := range sources {
		if _, err := os.ReadFile(source); err != nil {
			return err
		}
	}
	return nil
}

// server is a running process that answers on a port.
type server struct {
	url    string
	client *http.Client
	cmd    *exec.Cmd
	lines  chan string // of its output; closed when it has ended
}

// startServer runs a command until the test ends; PORT tells it its port.
func startServer(t *testing.T, env []string, name string, args ...string) *server {
	t.Helper()
	port := freePort(t)
	// A request is written in one piece: the service hangs up on a body that is too large.
	client := &http.Client{Transport: &http.Transport{WriteBufferSize: 128 << 10}}
	s := &server{url: fmt.Sprintf("http://127.0.0.1:%d", port), client: client, cmd: exec.Command(name, args...), lines: make(chan string, 1000)}
	s.cmd.Env = append(append(os.Environ(), fmt.Sprintf("PORT=%d", port)), env...)
	output, input, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stdout, s.cmd.Stderr = input, input
	err = s.cmd.Start()
	input.Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.lines)
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
			select {
			case s.lines <- scanner.Text():
			default: // nobody waits for so many
			}
		}
	}()
	t.Cleanup(func() { s.stop(t) })
	return s
}

// stop ends it as an operator would, and returns when it has exited well.
func (s *server) stop(t *testing.T) {
	t.Helper()
	if s.cmd.ProcessState != nil {
		return
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	guard := time.AfterFunc(hangGuard, func() { s.cmd.Process.Kill() })
	defer guard.Stop()
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%s: %v", s.cmd.Path, err)
	}
}

// await returns when a line with this text has been printed.
func (s *server) await(t *testing.T, text string) {
	t.Helper()
	guard := time.After(hangGuard)
	var seen []string
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("%s ended before it printed %q:\n%s", s.cmd.Path, text, strings.Join(seen, "\n"))
			}
			if strings.Contains(line, text) {
				return
			}
			seen = append(seen, line)
		case <-guard:
			t.Fatalf("%s has not printed %q:\n%s", s.cmd.Path, text, strings.Join(seen, "\n"))
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
