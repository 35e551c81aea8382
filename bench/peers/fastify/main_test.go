package fastify_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

func TestMain(m *testing.M) {
	for _, prepare := range []func() error{install, readSources, testenv.BuildEdge} {
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(testenv.Main(m))
}

// install runs npm ci, unless it has done so for the same lock file.
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

// readSources makes the sources inputs of the test. Otherwise go test would return a cached result
// after a change to them.
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

// server is a process that listens on a port.
type server struct {
	url    string
	client *http.Client
	cmd    *exec.Cmd
	log    testenv.Log
	ended  chan error // receives the result of cmd.Wait
}

// startServer starts a command with a free port in PORT. The process ends with the test.
func startServer(t *testing.T, env []string, name string, args ...string) *server {
	t.Helper()
	port := testenv.FreePort(t)
	// The service closes the connection if a body is too large, so a request is one write.
	client := &http.Client{Transport: &http.Transport{WriteBufferSize: 128 << 10}}
	s := &server{url: fmt.Sprintf("http://127.0.0.1:%d", port), client: client, cmd: exec.Command(name, args...),
		ended: make(chan error, 1)}
	s.cmd.Env = append(append(os.Environ(), fmt.Sprintf("PORT=%d", port)), env...)
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.WaitDelay = &s.log, &s.log, testenv.HangGuard
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.ended <- s.cmd.Wait()
		close(s.ended)
		s.log.Close()
	}()
	t.Cleanup(func() { s.stop(t) })
	return s
}

// stop sends SIGTERM and waits until the process has exited. The test fails unless its status is 0.
func (s *server) stop(t *testing.T) {
	t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	guard := time.AfterFunc(testenv.HangGuard, func() { s.cmd.Process.Kill() })
	defer guard.Stop()
	if err := <-s.ended; err != nil {
		t.Errorf("%s: %v", s.cmd.Path, err)
	}
}
