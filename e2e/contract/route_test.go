package contract

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

const (
	misdirected      = `{"error":{"en":"Misdirected request","ar":"طلب موجه إلى خادم غير صحيح"}}`
	methodNotAllowed = `{"error":{"en":"Method not allowed","ar":"الطريقة غير مسموح بها"}}`
	notFound         = `{"error":{"en":"Not found","ar":"غير موجود"}}`
)

func TestHostThatNoSiteServes_Is421(t *testing.T) {
	s := harness.StartStack(t, nil)
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		before := len(s.Site.Requests())
		for _, host := range []string{"127.0.0.1", "localhost.", "edge.internal:8443"} {
			for _, path := range []string{"/api/track/sale", "/"} {
				req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL(path), strings.NewReader(harness.ValidSale))
				if err != nil {
					t.Fatal(err)
				}
				req.Host = host
				req.Header.Set("Authorization", "Bearer "+harness.FullKey)
				got := harness.Do(t, c, req)
				harness.WantAnswer(t, got, 421, misdirected)
				harness.WantEdgeHeaders(t, got)
			}
		}
		harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK)
		if n := len(s.Site.Requests()) - before; n != 0 {
			t.Errorf("the site saw %d requests", n)
		}
	})
	if n := s.DB.Sales(); n != len(harness.Protocols) {
		t.Errorf("%d sales, want one for each protocol", n)
	}
}

func TestPlainHTTP_IsRedirected(t *testing.T) {
	s := harness.StartStack(t, nil)
	c := s.Client(t, "HTTP/1.1")
	req, err := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("http://localhost:%d/a", s.HTTPPort), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := harness.Do(t, c, req); got.StatusCode != 308 || got.Header.Get("Location") != "https://localhost/a" {
		t.Errorf("answered %d to %s", got.StatusCode, got.Header.Get("Location"))
	}
}

func TestSidecar_ServesWhateverNameItIsCalledBy(t *testing.T) {
	port := testenv.FreePort(t)
	s := harness.StartStack(t, func(config string) string {
		head, _, _ := strings.Cut(config, "\tservers {")
		_, sidecar, _ := strings.Cut(harness.ReadRoot(t, "examples/sidecar.Caddyfile"), "{\n")
		// The other site only tells when the edge is ready.
		return head + strings.Replace(sidecar, "{$PORT:8081}", fmt.Sprint(port), 1) + "\nlocalhost {\n\trespond ready\n}\n"
	})
	for _, name := range []string{"127.0.0.1", "localhost", "[::1]"} {
		for _, host := range []string{"", "edge.internal", "localhost."} {
			sell := func(path string) harness.Answer {
				req, err := http.NewRequestWithContext(t.Context(), "POST", fmt.Sprintf("http://%s:%d%s", name, port, path), strings.NewReader(harness.ValidSale))
				if err != nil {
					t.Fatal(err)
				}
				req.Host = host
				req.Header.Set("Authorization", "Bearer "+harness.FullKey)
				return harness.Do(t, s.Client(t, "HTTP/1.1"), req)
			}
			harness.WantAnswer(t, sell("/api/track/sale"), 201, harness.PublishedOK)
			harness.WantAnswer(t, sell("/elsewhere"), 404, notFound)
		}
	}
}

func TestPostInAnotherCase_Is405AndDoesNotReachTheSite(t *testing.T) {
	s := harness.StartStack(t, nil)
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		before := len(s.Site.Requests())
		for _, method := range []string{"post", "Post", "pOST"} {
			for _, path := range []string{"/api/track/sale", "/API//track/%73ale"} {
				got := s.Call(t, c, method, path, harness.ValidSale, "Authorization", "Bearer "+harness.FullKey)
				harness.WantAnswer(t, got, 405, methodNotAllowed)
				harness.WantHeader(t, got, "Allow", "POST")
			}
		}
		if n := len(s.Site.Requests()) - before; n != 0 {
			t.Errorf("the site saw %d requests", n)
		}
		if got := s.Call(t, c, "pOST", "/elsewhere", ""); got.StatusCode != 200 {
			t.Errorf("elsewhere: %d", got.StatusCode)
		}
	})
}

func TestConnect_Is405AndSaysWhatIsAllowed(t *testing.T) {
	s := harness.StartStack(t, nil)
	for _, line := range []string{"CONNECT localhost:443", "connect /"} {
		conn := s.Dial(t)
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\n\r\n", line)
		got := harness.ReadAnswer(t, bufio.NewReader(conn))
		harness.WantAnswer(t, got, 405, methodNotAllowed)
		harness.WantHeader(t, got, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
	if n := len(s.Site.Requests()); n != 0 {
		t.Errorf("the site saw %d requests", n)
	}
}

func TestTrailersNamedHoko_DoNotReachTheSite(t *testing.T) {
	seen := make(chan http.Header, 1)
	site := harness.StartSite(t, map[string]http.HandlerFunc{"/trailers": func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		seen <- maps.Clone(r.Trailer)
	}})
	s := harness.StartStackBefore(t, site, nil)
	want := func(t *testing.T, sum string) {
		t.Helper()
		if trailers := <-seen; trailers.Get("X-Sum") != sum || len(trailers) != 1 {
			t.Errorf("the site saw %v", trailers)
		}
	}
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL("/trailers"), io.MultiReader(strings.NewReader("body")))
		if err != nil {
			t.Fatal(err)
		}
		req.Trailer = http.Header{"X-Sum": {"1"}, "Hoko-Sale-Id": {"forged"}}
		res := harness.Do(t, c, req)
		sum := "1"
		if res.ProtoMajor == 3 { // trailers arrive without their values
			sum = ""
		}
		want(t, sum)
	})
	t.Run("announced or not", func(t *testing.T) {
		conn := s.Dial(t)
		fmt.Fprint(conn, "POST /trailers HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, hoko-attribution\r\n\r\n",
			"4\r\nbody\r\n0\r\nX-Sum: 1\r\nHoko-Sale-Id: forged\r\nhoko-attribution: forged\r\n\r\n")
		harness.ReadAnswer(t, bufio.NewReader(conn))
		want(t, "1")
	})
}
