package devserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// parentDir names the environment variable that makes this binary a parent of servers.
const parentDir = "DEVSERVER_PARENT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentDir); dir != "" {
		runParent(dir)
	}
	os.Exit(m.Run())
}

func itoa(n int) string { return strconv.Itoa(n) }

func parentOptions(dir string) (PostgresOptions, RedisOptions) {
	return PostgresOptions{Dir: filepath.Join(dir, "postgres")}, RedisOptions{Dir: filepath.Join(dir, "redis")}
}

// runParent starts both servers, prints ready, and runs until it is killed.
func runParent(dir string) {
	po, ro := parentOptions(dir)
	p, postgresErr := StartPostgres(context.Background(), po)
	r, redisErr := StartRedis(context.Background(), ro)
	if err := errors.Join(postgresErr, redisErr); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	select {
	case <-p.Done():
	case <-r.Done():
	}
	os.Exit(1)
}

func TestServers_ParentIsKilled(t *testing.T) {
	dir := tempDir(t)
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentDir+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		t.Errorf("the parent printed %q (%v)", line, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	parent.Wait() // fails with signal: killed

	po, ro := parentOptions(dir)
	ctx, cancel := context.WithTimeout(t.Context(), hangGuard)
	defer cancel()
	for _, dir := range []string{po.Dir, ro.Dir} {
		lock, err := awaitLock(ctx, dir) // held by every process of a server
		if err != nil {
			t.Fatal(err)
		}
		lock.Close()
	}
	startTestPostgres(t, po)
	startTestRedis(t, ro)
}

func TestStartRedis_CallingThreadEnds(t *testing.T) {
	dir := tempDir(t)
	var (
		r    *Redis
		err  error
		done = make(chan struct{})
	)
	go func() {
		defer close(done)
		runtime.LockOSThread() // without an unlock the thread ends with the goroutine
		r, err = StartRedis(t.Context(), RedisOptions{Dir: dir})
	}()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	if err := r.ping(t.Context()); err != nil {
		t.Error(err)
	}
}
