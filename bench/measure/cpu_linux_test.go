package measure

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// burn is the CPU time that a child or thread uses. tolerance is what the test itself may use; it
// is less than burn, so that counting twice shows.
const burn, tolerance = 300 * time.Millisecond, 200 * time.Millisecond

const burner = "HOKO_TEST_BURNER"

// With the main thread locked, tests run on threads that can end.
func init() { runtime.LockOSThread() }

// TestMain also serves as the child, which uses CPU time and then waits until its input ends.
func TestMain(m *testing.M) {
	if os.Getenv(burner) == "" {
		os.Exit(m.Run())
	}
	spin()
	os.Stdout.WriteString("burnt\n")
	io.Copy(io.Discard, os.Stdin)
}

// spin uses CPU time; the goroutine must be locked to its thread.
func spin() {
	used := func() time.Duration {
		var u unix.Rusage
		unix.Getrusage(unix.RUSAGE_THREAD, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for start := used(); used()-start < burn; {
	}
}

func usedByThis(t *testing.T) CPU {
	t.Helper()
	used, err := Snapshot(Process{"this", os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	return used
}

func expectBurnt(t *testing.T, what string, before CPU) {
	t.Helper()
	if used := usedByThis(t).Sub(before)["this"]; used < burn-2*tick || used > burn+tolerance {
		t.Errorf("%s: %v used, want %v", what, used, burn)
	}
}

func TestSnapshot_DescendantCountsOnce(t *testing.T) {
	before := usedByThis(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), burner+"=1")
	stay, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	says, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(says).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	expectBurnt(t, "running", before)

	stay.Close()
	if err := unix.Waitid(unix.P_PID, child.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	expectBurnt(t, "ended", before)

	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	expectBurnt(t, "waited for", before)
}

func TestSnapshot_EndedThreadCounts(t *testing.T) {
	before := usedByThis(t)
	thread := make(chan int)
	go func() {
		runtime.LockOSThread() // without an unlock the thread ends with the goroutine
		spin()
		thread <- unix.Gettid()
	}()
	task := "/proc/self/task/" + strconv.Itoa(<-thread)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(task); os.IsNotExist(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the thread does not end")
		}
	}
	expectBurnt(t, "thread", before)
}

func TestSnapshot_UnknownProcess(t *testing.T) {
	used, err := Snapshot(Process{"this", os.Getpid()}, Process{"none", 1 << 30})
	if err == nil {
		t.Errorf("%v used", used)
	}
}

func TestMemory_Grows(t *testing.T) {
	const size = 64 << 20
	before, err := Memory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	held, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(held)
	for i := 0; i < size; i += 4096 {
		held[i] = 1
	}
	after, err := Memory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if grown := after - before; grown < size/2 || grown > 2*size {
		t.Errorf("%d → %d, want %d more", before, after, size)
	}
}
