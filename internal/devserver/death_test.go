package devserver

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// parentDir, in the environment, makes this binary a parent of servers instead of a test.
const parentDir = "DEVSERVER_PARENT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentDir); dir != "" {
		beParent(dir)
	}
	os.Exit(m.Run())
}

func itoa(n int) string { return strconv.Itoa(n) }

func parentOptions(dir string) (PostgresOptions, RedisOptions) {
	return PostgresOptions{Dir: filepath.Join(dir, "postgres")}, RedisOptions{Dir: filepath.Join(dir, "redis")}
}

// beParent starts both servers, says so, and stays until it is killed.
func beParent(dir string) {
	po, ro := parentOptions(dir)
	p, err := StartPostgres(context.Background(), po)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	r, err := StartRedis(context.Background(), ro)
	if err != nil {
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

func TestServersDieWithAKilledParent(t *testing.T) {
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
	said, err := bufio.NewReader(out).ReadString('\n')
	if said != "ready\n" {
		t.Errorf("the parent said %q (%v)", said, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	parent.Wait() // it was killed, and says so

	po, ro := parentOptions(dir)
	ctx, cancel := context.WithTimeout(t.Context(), hangGuard)
	defer cancel()
	for _, dir := range []string{po.Dir, ro.Dir} {
		lock, err := awaitLock(ctx, dir) // which every process of a server holds
		if err != nil {
			t.Fatal(err)
		}
		lock.Close()
	}
	startTestPostgres(t, po)
	startTestRedis(t, ro)
}

func TestServersOutliveTheThreadThatAskedForThem(t *testing.T) {
	dir := tempDir(t)
	var (
		r     *Redis
		err   error
		asked = make(chan struct{})
	)
	go func() {
		defer close(asked)
		runtime.LockOSThread() // and never unlocked: the thread ends here
		r, err = StartRedis(t.Context(), RedisOptions{Dir: dir})
	}()
	<-asked
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	if err := r.ask(t.Context()); err != nil {
		t.Error(err)
	}
}
