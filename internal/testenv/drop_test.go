package testenv

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestDatabase_DropWaitsForASlowBackend(t *testing.T) {
	Database(t) // starts the server
	s := &sharedPostgres
	if err := s.exec("CREATE DATABASE slow"); err != nil {
		t.Fatal(err)
	}
	conn := Connect(t, s.server.DSN("slow"))
	log := filepath.Join(filepath.Dir(conn.Text("SHOW data_directory")), "log")
	pid := conn.Count("SELECT pg_backend_pid()")
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	dropped := make(chan error, 1)
	go func() { dropped <- s.drop("slow") }()
	Until(t, "the first DROP DATABASE fails", func() bool {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), `database "slow" is being accessed by other users`)
	})
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := <-dropped; err != nil {
		t.Error(err)
	}
}
