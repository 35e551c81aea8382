package request

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/internal/testkit"
	"hoko.to/edge/plugin/apikey"
)

// tracked serves HTTP/1.1 or HTTP/2 with a handler that gets the writer of Begin, on a server
// without access log. The statuses that are recorded arrive in the channel.
func tracked(t *testing.T, http2 bool, handler http.HandlerFunc) (*httptest.Server, <-chan int) {
	t.Helper()
	statuses := make(chan int, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
		rec, w := Begin(w, r)
		defer func() { rec.End(r, nil); statuses <- rec.status }()
		rec.Authenticated(r, apikey.FoundInCache, time.Now())
		handler(w, r)
	}))
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, statuses
}

func TestBegin_WriterKeepsControls(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("HTTP/2 ", http2), func(t *testing.T) {
			server, statuses := tracked(t, http2, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Link", "</a>")
				w.WriteHeader(http.StatusEarlyHints)
				w.Header().Set("Trailer", "X-Sum")
				w.WriteHeader(http.StatusAccepted)
				rc := http.NewResponseController(w)
				for name, err := range map[string]error{
					"flush":        rc.Flush(),
					"read":         rc.SetReadDeadline(time.Now().Add(time.Minute)),
					"write":        rc.SetWriteDeadline(time.Now().Add(time.Minute)),
					"full duplex ": rc.EnableFullDuplex(),
				} {
					if unsupported := http2 && name == "full duplex "; err != nil && !unsupported {
						t.Errorf("%s: %v", name, err)
					}
				}
				from, ok := w.(io.ReaderFrom)
				if !ok {
					t.Fatal("no ReadFrom")
				}
				if n, err := from.ReadFrom(strings.NewReader("body")); n != 4 || err != nil {
					t.Error(n, err)
				}
				w.Header().Set("X-Sum", "1")
			})
			hints := 0
			trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
				if hints++; status != http.StatusEarlyHints || h.Get("Link") != "</a>" {
					t.Errorf("interim %d %v", status, h)
				}
				return nil
			}}
			r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", server.URL, nil)
			testkit.NoError(t, err)
			res, err := server.Client().Do(r)
			testkit.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			testkit.NoError(t, err)
			testkit.NoError(t, res.Body.Close())
			if res.StatusCode != http.StatusAccepted || string(body) != "body" || hints != 1 ||
				res.Trailer.Get("X-Sum") != "1" || (res.ProtoMajor == 2) != http2 {
				t.Errorf("%s %d %q, trailer %v, %d hints", res.Proto, res.StatusCode, body, res.Trailer, hints)
			}
			if status := <-statuses; status != http.StatusAccepted {
				t.Errorf("recorded %d", status)
			}
		})
	}
}

func TestBegin_WriterCanBeHijacked(t *testing.T) {
	server, statuses := tracked(t, false, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Upgrade", "echo")
		w.Header().Set("Connection", "Upgrade")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		line, err := buffered.ReadString('\n')
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(conn, "echo %s", line)
	})
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
	testkit.NoError(t, err)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	res, err := server.Client().Do(r)
	testkit.NoError(t, err)
	stream := res.Body.(io.ReadWriteCloser)
	defer stream.Close()
	_, err = io.WriteString(stream, "hello\n")
	testkit.NoError(t, err)
	if line, err := bufio.NewReader(stream).ReadString('\n'); line != "echo hello\n" || res.StatusCode != 101 {
		t.Errorf("%d %q %v", res.StatusCode, line, err)
	}
	if status := <-statuses; status != http.StatusSwitchingProtocols {
		t.Errorf("recorded %d", status)
	}
}

// With an access log, Begin uses Caddy's recorder, also below the writers of other handlers.
func TestBegin_WrapsNoWriterThatRecords(t *testing.T) {
	w, r := prepared(nil)
	wrapped := &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}
	rec, got := Begin(wrapped, r)
	if got != http.ResponseWriter(wrapped) || http.ResponseWriter(rec.recorder) != w {
		t.Error("another writer")
	}
	rec.Authenticated(r, apikey.FoundInCache, time.Now())
	got.WriteHeader(http.StatusTeapot)
	rec.End(r, nil)
	if rec.part != Site || rec.status != http.StatusTeapot || rec.depth != 0 {
		t.Errorf("part %q, status %d", rec.part, rec.status)
	}
}
