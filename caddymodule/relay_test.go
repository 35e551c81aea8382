package caddymodule

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// plain writes a record's level, message and attributes.
func plain(w io.Writer) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
}

func TestRecordsGoToTheConfigThatCameLast(t *testing.T) {
	var first, second bytes.Buffer
	r := newRelay()
	logger := slog.New(r).With("part", "listener").WithGroup("inner")

	endFirst := r.holders.add(plain(&first))
	logger.Info("one", "n", 1)
	endSecond := r.holders.add(plain(&second))
	logger.Info("two", "n", 2)
	endFirst()
	logger.Info("three", "n", 3)
	if got, want := first.String(), "level=INFO msg=one part=listener inner.n=1\n"; got != want {
		t.Errorf("the first config's log is %q, want %q", got, want)
	}
	if got, want := second.String(), "level=INFO msg=two part=listener inner.n=2\nlevel=INFO msg=three part=listener inner.n=3\n"; got != want {
		t.Errorf("the second config's log is %q, want %q", got, want)
	}

	endThird := r.holders.add(plain(&first)) // a config that fails to start
	endThird()
	logger.Info("four")
	if !strings.Contains(second.String(), "msg=four") {
		t.Error("a failed config took the log with it")
	}
	endSecond()
	second.Reset()
	logger.Info("five")
	if second.Len() > 0 {
		t.Errorf("a config that has ended logged %q", second.String())
	}
}

func TestRecordsOfABackendWithoutConfigGoToCaddysOwnLog(t *testing.T) {
	e := newEdge(t, "", "")
	e.routes = "respond 404"
	config := bytes.ReplaceAll(e.config(), []byte("{env.DATABASE_URL}"), []byte("postgres://127.0.0.1:1/site"))
	config = bytes.ReplaceAll(config, []byte("{env.REDIS_URL}"), []byte("redis://127.0.0.1:1"))
	mustRun(t, config)
	r := newRelay()
	slog.New(r).Warn("nobody holds this backend")
	if line := written.await(t, "nobody holds this backend", "level", "warn"); line["logger"] != "hoko" {
		t.Errorf("logged %v", line)
	}
	if r.Enabled(context.Background(), slog.LevelDebug) {
		t.Error("it does not know Caddy's level")
	}
}

// contexts are those that its records came with.
type contexts struct {
	slog.Handler
	seen []context.Context
}

func (c *contexts) Handle(ctx context.Context, _ slog.Record) error {
	c.seen = append(c.seen, ctx)
	return nil
}

func TestRecordsLeaveTheirRequestsContextBehind(t *testing.T) {
	handler := &contexts{Handler: slog.DiscardHandler}
	r := newRelay()
	r.holders.add(handler)
	fields := new(caddyhttp.ExtraLogFields)
	err := r.Handle(context.WithValue(t.Context(), caddyhttp.ExtraLogFieldsCtxKey, fields), slog.Record{})
	if err != nil || len(handler.seen) != 1 || handler.seen[0].Value(caddyhttp.ExtraLogFieldsCtxKey) != nil {
		t.Errorf("%v %v: Caddy would read the fields of a request while its handlers write them", handler.seen, err)
	}
}
