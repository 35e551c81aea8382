package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/logging"
)

// newTextHandler returns a handler that writes records without their time.
func newTextHandler(w io.Writer) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
}

func TestLogHandler_UsesTheNewestConfig(t *testing.T) {
	var first, second bytes.Buffer
	l := newLogHandler()
	logger := slog.New(l).With("part", "listener").WithGroup("inner")

	endFirst := l.configHandlers.add(newTextHandler(&first))
	logger.Info("one", "n", 1)
	endSecond := l.configHandlers.add(newTextHandler(&second))
	logger.Info("two", "n", 2)
	endFirst()
	logger.Info("three", "n", 3)
	if got, want := first.String(), "level=INFO msg=one part=listener inner.n=1\n"; got != want {
		t.Errorf("the first config's log is %q, want %q", got, want)
	}
	want := "level=INFO msg=two part=listener inner.n=2\nlevel=INFO msg=three part=listener inner.n=3\n"
	if got := second.String(); got != want {
		t.Errorf("the second config's log is %q, want %q", got, want)
	}

	endThird := l.configHandlers.add(newTextHandler(&first)) // a config that fails to start
	endThird()
	logger.Info("four")
	if !strings.Contains(second.String(), "msg=four") {
		t.Error("after a config failed to start, the log is lost")
	}
	endSecond()
	second.Reset()
	logger.Info("five")
	if second.Len() > 0 {
		t.Errorf("a config that has ended logged %q", second.String())
	}
}

func TestLogHandler_FallsBackToCaddysLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	config := fmt.Sprintf(`{"admin": {"disabled": true}, "logging": {"logs": {"default":
		{"writer": {"output": "file", "filename": %q}, "encoder": {"format": "json"}}}}}`, file)
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatal(err)
	}
	defer caddy.Stop()
	logger := ProcessLogger()
	logger.Warn("no config")
	var line struct{ Level, Logger, Msg string }
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(written), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &line); err != nil {
		t.Fatal(err)
	}
	if line.Level != "warn" || line.Logger != "hoko" || line.Msg != "no config" {
		t.Errorf("logged %v", line)
	}
	if logger.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("it ignores the level of Caddy's log")
	}
}

// contextRecorder records the contexts that it receives.
type contextRecorder struct {
	slog.Handler
	seen []context.Context
}

func (c *contextRecorder) Handle(ctx context.Context, _ slog.Record) error {
	c.seen = append(c.seen, ctx)
	return nil
}

func TestLogHandler_DropsTheRequestContext(t *testing.T) {
	handler := &contextRecorder{Handler: slog.DiscardHandler}
	l := newLogHandler()
	l.configHandlers.add(handler)
	fields := new(caddyhttp.ExtraLogFields)
	err := l.Handle(context.WithValue(t.Context(), caddyhttp.ExtraLogFieldsCtxKey, fields), slog.Record{})
	if err != nil || len(handler.seen) != 1 || handler.seen[0].Value(caddyhttp.ExtraLogFieldsCtxKey) != nil {
		t.Errorf("%v %v: Caddy would read a request's log fields while handlers write them", handler.seen, err)
	}
}
