package contract

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
)

func TestRejection_ReachesClientThatSentOnlyItsHead(t *testing.T) {
	s := harness.StartStack(t, harness.Replace("limit 600/1m", "limit 1/1h"))
	harness.WantStatus(t, s.Sell(t, s.Client(t, "HTTP/1.1"), harness.ValidSale), 201)
	roomy := "hoko_key_with_room"
	s.DB.AddKey(roomy, "conversionsWrite")
	s.DB.Exec("UPDATE hoko.api_keys SET rate_limit = 1000 WHERE id = $1", harness.KeyID(roomy))

	rejections := []struct {
		status int
		key    string
		header string
		length int
	}{
		{401, "unknown", "", 70_000},
		{401, "unknown", "", 100},
		{403, harness.ReadOnlyKey, "", 70_000},
		{429, harness.FullKey, "", 70_000},
		{413, roomy, "", 70_000},
		{415, roomy, "Content-Encoding: gzip\r\n", 70_000},
		{415, roomy, "Content-Encoding: gzip\r\n", 10},
	}
	for _, rejection := range rejections {
		for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
			for _, framing := range []string{fmt.Sprintf("Content-Length: %d\r\n", rejection.length),
				"Transfer-Encoding: chunked\r\n"} {
				if rejection.status == 413 && strings.HasPrefix(framing, "Transfer") {
					continue // the length of a chunked body is unknown until it is read
				}
				t.Run(fmt.Sprintln(rejection.status, expect, framing), func(t *testing.T) {
					conn := s.Dial(t)
					fmt.Fprintf(conn, "POST /api/track/sale HTTP/1.1\r\nHost: localhost\r\n"+
						"Authorization: Bearer %s\r\n%s%s%s\r\n", rejection.key, rejection.header, expect, framing)
					harness.WantStatus(t, harness.ReadAnswer(t, bufio.NewReader(conn)), rejection.status)
				})
			}
		}
	}
}

func TestRejection_WithoutBodyOverHTTP2And3(t *testing.T) {
	s := harness.StartStack(t, nil)
	for _, protocol := range harness.Protocols[1:] {
		for _, rejection := range []struct {
			status        int
			key, encoding string
			length        int64
		}{
			{401, "unknown", "", 100}, {403, harness.ReadOnlyKey, "", 100}, {413, harness.FullKey, "", 70_000},
			{415, harness.FullKey, "gzip", 100},
		} {
			t.Run(fmt.Sprint(protocol, " ", rejection.status), func(t *testing.T) {
				body, end := io.Pipe()
				defer end.Close()
				req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL("/api/track/sale"), body)
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength = rejection.length
				req.Header.Set("Authorization", rejection.key)
				if rejection.encoding != "" {
					req.Header.Set("Content-Encoding", rejection.encoding)
				}
				harness.WantStatus(t, harness.Do(t, s.Client(t, protocol), req), rejection.status)
			})
		}
	}
}

func TestRejection_KeepsConnectionAfterWholeBody(t *testing.T) {
	s := harness.StartStack(t, nil)
	conn := s.Dial(t)
	reader := bufio.NewReader(conn)
	for _, status := range []int{401, 403, 415, 400, 201} {
		key, header, body := harness.FullKey, "", harness.ValidSale
		switch status {
		case 401:
			key = "unknown"
		case 403:
			key = harness.ReadOnlyKey
		case 415:
			header = "Content-Encoding: br\r\n"
		case 400:
			body = "{}"
		}
		fmt.Fprintf(conn, "POST /api/track/sale HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"+
			"%sContent-Length: %d\r\n\r\n%s", key, header, len(body), body)
		if got := harness.ReadAnswer(t, reader); got.StatusCode != status || got.Close {
			t.Fatalf("got %d, close %v; want %d and an open connection", got.StatusCode, got.Close, status)
		}
	}
}

func TestRejection_ReachesClientThatIsStillSending(t *testing.T) {
	s := harness.StartStack(t, nil)
	conn := s.Dial(t)
	fmt.Fprintf(conn, "POST /api/track/sale HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer unknown\r\n"+
		"Content-Length: 50000000\r\n\r\n")
	go io.CopyN(conn, harness.Zeros{}, 50_000_000) // ends when the connection does
	if got := harness.ReadAnswer(t, bufio.NewReader(conn)); got.StatusCode != 401 || got.Text != harness.Body401 {
		t.Fatalf("got %d %s", got.StatusCode, got.Text)
	}
}

func TestBodyTimeout_Is408(t *testing.T) {
	s := harness.StartStack(t, harness.Replace("track_sale @sale",
		"track_sale @sale {\n\t\t\tbody_timeout 300ms\n\t\t}"))
	conn := s.Dial(t)
	fmt.Fprintf(conn, "POST /api/track/sale HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"+
		"Content-Length: 100\r\n\r\n{", harness.FullKey)
	got := harness.ReadAnswer(t, bufio.NewReader(conn))
	harness.WantAnswer(t, got, 408, `{"error":{"en":"Request timeout","ar":"انتهت مهلة الطلب"}}`)
	harness.WantEdgeHeaders(t, got)
	s.DB.WantSales(t, 0)
}
