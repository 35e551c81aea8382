package testenv

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestADatabaseIsDroppedHoweverSlowlyABackendEnds(t *testing.T) {
	Database(t) // the server runs
	s := &sharedPostgres
	if err := s.exec("CREATE DATABASE slow"); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), s.server.DSN("slow"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	log := filepath.Join(filepath.Dir(value(t, conn, "SHOW data_directory")), "log")
	pid, err := strconv.Atoi(value(t, conn, "SELECT pg_backend_pid()::text"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	dropped := make(chan error, 1)
	go func() { dropped <- s.drop("slow") }()
	until(t, "the server has given up once", func() bool {
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
