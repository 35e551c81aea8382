package testenv

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Log collects the output of a logger or process. The zero value is ready to use, and a Log is safe
// for concurrent use.
type Log struct {
	mu      sync.Mutex
	text    bytes.Buffer
	closed  bool
	changed chan struct{} // closed at the next change; nil if no Wait is running
}

// Write appends p to the log. It never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wake()
	return l.text.Write(p)
}

// Close marks the end of the output: a Wait without a match then fails immediately. It returns nil.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
	return nil
}

func (l *Log) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// String returns everything written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Logger returns a logger that writes lines of text to the log.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Count returns how often text has been written so far.
func (l *Log) Count(text string) int { return strings.Count(l.String(), text) }

// HasLine reports whether a line that contains all texts has been written.
func (l *Log) HasLine(texts ...string) bool {
	found, _, _, _ := l.look(0, texts)
	return found
}

// Wait waits until a line that contains all texts has been written. It fails the test after Close
// or HangGuard.
func (l *Log) Wait(t testing.TB, texts ...string) {
	t.Helper()
	guard := time.After(HangGuard)
	for from := 0; ; {
		found, next, closed, changed := l.look(from, texts)
		if found {
			return
		}
		if closed {
			t.Fatalf("the process ended before it printed %q:\n%s", texts, l)
		}
		select {
		case <-changed:
			from = next
		case <-guard:
			t.Fatalf("the process did not print %q:\n%s", texts, l)
		}
	}
}

// look searches the lines from an offset. next is the offset from which to search again when
// changed is closed.
func (l *Log) look(from int, texts []string) (found bool, next int, closed bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next = from
	for line := range bytes.Lines(l.text.Bytes()[from:]) {
		lacks := func(text string) bool { return !bytes.Contains(line, []byte(text)) }
		if !slices.ContainsFunc(texts, lacks) {
			return true, next, l.closed, nil
		}
		if line[len(line)-1] == '\n' {
			next += len(line)
		}
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return false, next, l.closed, l.changed
}
