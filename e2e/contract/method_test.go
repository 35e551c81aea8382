package contract

import (
	"bufio"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
)

// Frameworks such as Symfony and Laravel uppercase the method and would accept these as POST.
func TestMethod_PostInAnotherCaseIs405(t *testing.T) {
	s := harness.StartStack(t, nil)
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		before := len(s.Site.Requests())
		for _, request := range []string{
			"post /api/track/sale", "Post /api/track/sale", "pOST /api/track/sale", "POSt /API//Track/SALE",
			"poST /api/track/%73ale?x=1",
		} {
			method, path, _ := strings.Cut(request, " ")
			got := s.Call(t, c, method, path, harness.ValidSale, "Authorization", harness.FullKey)
			harness.WantAnswer(t, got, 405, harness.Body405)
			harness.WantEdgeHeaders(t, got)
			harness.WantHeader(t, got, "Allow", "POST")
		}
		s.Site.WantNothingSince(t, before)
		for _, request := range []string{"post /api/links", "get /api/track/sale", "posts /api/track/sale",
			"repost /api/track/sale"} {
			method, path, _ := strings.Cut(request, " ")
			if got := s.Call(t, c, method, path, ""); got.Text != "site "+request {
				t.Errorf("%s: got %d %s", request, got.StatusCode, got.Text)
			}
		}
	})
	s.DB.WantSales(t, 0)
}

func Test405_CarriesAllow(t *testing.T) {
	s := harness.StartStack(t, nil)
	for _, target := range []string{"CONNECT /api/track/sale", "CONNECT /page", "CONNECT localhost:22", "connect /page",
		strings.Repeat("X", 33) + " /page"} {
		conn := s.Dial(t)
		io.WriteString(conn, target+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		got := harness.ReadAnswer(t, bufio.NewReader(conn))
		harness.WantAnswer(t, got, 405, harness.Body405)
		harness.WantHeader(t, got, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
}

func TestTrailers_OfTheEdgeDoNotReachTheSite(t *testing.T) {
	s := harness.StartStack(t, nil)
	wantTrailer := func(t *testing.T, before int, digest []string) {
		t.Helper()
		seen := s.Site.Requests()[before:]
		if len(seen) != 1 || seen[0].Body != "hello" {
			t.Fatalf("the site saw %v", seen)
		}
		for name := range seen[0].Trailer {
			if strings.HasPrefix(strings.ToLower(name), "hoko") {
				t.Errorf("the trailer %s reached the site", name)
			}
		}
		if got := seen[0].Trailer["X-Digest"]; !slices.Equal(got, digest) {
			t.Errorf("the trailer X-Digest is %q, want %q", got, digest)
		}
	}
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		before := len(s.Site.Requests())
		body := io.MultiReader(strings.NewReader("hello")) // an unknown length
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL("/upload"), body)
		if err != nil {
			t.Fatal(err)
		}
		req.Trailer = http.Header{"Hoko-Sale-Id": {"forged"}, "hoko-key-id": {"forged"}, "Hoko_sale_id": {"forged"},
			"X-Digest": {"1"}}
		got := harness.Do(t, c, req)
		harness.WantStatus(t, got, 200)
		digest := []string{"1"}
		if got.Proto == "HTTP/3.0" {
			digest = nil // quic-go's server ignores trailers
		}
		wantTrailer(t, before, digest)
	})
	t.Run("next to an announced one", func(t *testing.T) {
		before, conn := len(s.Site.Requests()), s.Dial(t)
		io.WriteString(conn,
			"POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Digest\r\n\r\n"+
				"5\r\nhello\r\n0\r\nX-Digest: 1\r\nHoko-Sale-Id: forged\r\n\r\n")
		harness.WantStatus(t, harness.ReadAnswer(t, bufio.NewReader(conn)), 200)
		wantTrailer(t, before, []string{"1"})
	})
}
