package apierror

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"hoko.to/edge/internal/testkit"
)

// rows are the responses without additional members, byte for byte.
var rows = []struct {
	row    *Error
	status int
	body   string
}{
	{InvalidRequest, 400, `{"error":{"en":"Invalid request","ar":"طلب غير صالح"}}`},
	{InvalidKey, 401, `{"error":{"en":"Invalid API key","ar":"مفتاح API غير صالح"}}`},
	{NotFound, 404, `{"error":{"en":"Not found","ar":"غير موجود"}}`},
	{MethodNotAllowed, 405, `{"error":{"en":"Method not allowed","ar":"الطريقة غير مسموح بها"}}`},
	{RequestTimeout, 408, `{"error":{"en":"Request timeout","ar":"انتهت مهلة الطلب"}}`},
	{BodyTooLarge, 413, `{"error":{"en":"Request body too large","ar":"حجم الطلب كبير جدًا"}}`},
	{UnsupportedEncoding, 415, `{"error":{"en":"Unsupported content encoding","ar":"ترميز المحتوى غير مدعوم"}}`},
	{Misdirected, 421, `{"error":{"en":"Misdirected request","ar":"طلب موجه إلى خادم غير صحيح"}}`},
	{IdempotencyMismatch, 422,
		`{"error":{"en":"Idempotency key was used with a different request","ar":"استُخدم مفتاح عدم التكرار مع طلب ` +
			`مختلف"}}`},
	{TooEarly, 425, `{"error":{"en":"Too early","ar":"الطلب مبكر جدًا"}}`},
	{Internal, 500, `{"error":{"en":"Internal server error","ar":"خطأ داخلي في الخادم"}}`},
	{BadGateway, 502, `{"error":{"en":"Bad gateway","ar":"بوابة غير صالحة"}}`},
	{Unavailable, 503, `{"error":{"en":"Service temporarily unavailable","ar":"الخدمة غير متاحة مؤقتًا"}}`},
	{GatewayTimeout, 504, `{"error":{"en":"Gateway timeout","ar":"انتهت مهلة البوابة"}}`},
}

func TestWrite_WritesEachRowByteForByte(t *testing.T) {
	for _, want := range rows {
		t.Run(strconv.Itoa(want.status), func(t *testing.T) {
			w := httptest.NewRecorder()
			Write(w, want.row)
			expectAnswer(t, w, want.status, want.body)
		})
	}
}

func TestForStatus_FindsEachRow(t *testing.T) {
	for _, want := range rows {
		if got := ForStatus(want.status); got != want.row {
			t.Errorf("ForStatus(%d) = %v, want %v", want.status, got, want.row)
		}
	}
	for status, want := range map[int]*Error{
		403: MissingScopes, 429: RateLimitExceeded, 414: InvalidRequest, 499: InvalidRequest,
		200: Internal, 501: Internal, 511: Internal,
	} {
		if got := ForStatus(status); got != want {
			t.Errorf("ForStatus(%d) = %v, want %v", status, got, want)
		}
	}
}

func TestWriteMissingScopes_NamesThemInOrder(t *testing.T) {
	for want, missing := range map[string][]string{
		`["conversionsWrite"]`:           {"conversionsWrite"},
		`["linksWrite","analyticsRead"]`: {"linksWrite", "analyticsRead"},
		`["analyticsRead","linksWrite"]`: {"analyticsRead", "linksWrite"},
	} {
		w := httptest.NewRecorder()
		WriteMissingScopes(w, missing)
		expectAnswer(t, w, 403,
			`{"error":{"en":"Missing required scopes","ar":"الصلاحيات المطلوبة مفقودة"},"missingScopes":`+want+`}`)
	}
}

func TestWriteRateLimitExceeded_RoundsTheWaitUp(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		-time.Second:                   "1",
		0:                              "1",
		time.Nanosecond:                "1",
		time.Second:                    "1",
		time.Second + time.Nanosecond:  "2",
		time.Minute:                    "60",
		25*time.Hour + time.Nanosecond: "90001",
	} {
		w := httptest.NewRecorder()
		WriteRateLimitExceeded(w, wait)
		expectAnswer(t, w, 429,
			`{"error":{"en":"Rate limit exceeded","ar":"تم تجاوز حد المعدل"},"retryAfter":`+want+`}`)
		if got := w.Header().Get("Retry-After"); got != want {
			t.Errorf("wait %v: Retry-After %q, want %q", wait, got, want)
		}
	}
}

func TestWrite_SetsRetryAfterOfA503(t *testing.T) {
	sent := map[string]bool{}
	for range 200 {
		w := httptest.NewRecorder()
		Write(w, Unavailable)
		sent[w.Header().Get("Retry-After")] = true
	}
	if len(sent) != 2 || !sent["1"] || !sent["2"] {
		t.Errorf("Retry-After %v, want 1 and 2", sent)
	}
	w := httptest.NewRecorder()
	w.Header().Set("Retry-After", "30")
	Write(w, Unavailable)
	if got := w.Header().Get("Retry-After"); got != "30" {
		t.Errorf("Retry-After %q, want the caller's 30", got)
	}
	w = httptest.NewRecorder()
	Write(w, Internal)
	if _, there := w.Header()["Retry-After"]; there {
		t.Error("a 500 carries Retry-After")
	}
}

func TestSetExpectedWait_AddsJitter(t *testing.T) {
	for wait, want := range map[time.Duration][2]int{
		0:                {1, 2},
		4 * time.Second:  {4, 6},
		20 * time.Second: {20, 25},
		time.Hour:        {24, 30},
	} {
		h := http.Header{}
		least, most := 1000, 0
		for range 2000 {
			SetExpectedWait(h, wait)
			seconds, err := strconv.Atoi(h.Get("Retry-After"))
			testkit.NoError(t, err)
			least, most = min(least, seconds), max(most, seconds)
		}
		if least < want[0] || most > want[1] || least == most {
			t.Errorf("wait %v: Retry-After %d to %d, want %v", wait, least, most, want)
		}
	}
}

func TestWrite_DoesNotChangeSharedRows(t *testing.T) {
	for range 2 { // an append into a row's spare capacity would show in the second round
		w := httptest.NewRecorder()
		WriteMissingScopes(w, []string{"linksRead"})
		WriteRateLimitExceeded(httptest.NewRecorder(), time.Hour)
		expectAnswer(t, w, 403,
			`{"error":{"en":"Missing required scopes","ar":"الصلاحيات المطلوبة مفقودة"},"missingScopes":["linksRead"]}`)
	}
}

func TestFailure_WrapsItsCause(t *testing.T) {
	cause := errors.New("connection refused")
	var err error = &Failure{Err: Unavailable, Cause: cause}
	if !errors.Is(err, cause) || err.Error() != "connection refused" {
		t.Errorf("%v lacks its cause", err)
	}
}

func expectAnswer(t *testing.T, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("status %d, want %d", w.Code, status)
	}
	if got := w.Body.String(); got != body {
		t.Errorf("body\n got %s\nwant %s", got, body)
	}
	if !json.Valid(w.Body.Bytes()) {
		t.Errorf("not JSON: %s", w.Body)
	}
	for name, want := range map[string]string{
		"Content-Type":   "application/json; charset=utf-8",
		"Content-Length": strconv.Itoa(len(body)),
		"Cache-Control":  "no-store",
	} {
		if got := http.Header.Get(w.Header(), name); got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
}

func TestTable_EqualsThatInDocs(t *testing.T) {
	document, err := os.ReadFile("../../docs/api.md")
	testkit.NoError(t, err)
	pattern := regexp.MustCompile(`(?m)^\| (\d{3}) \| ([^|]+) \| ([^|]+) \|`)
	rows := pattern.FindAllStringSubmatch(string(document), -1)
	if len(rows) != len(byStatus) {
		t.Errorf("the document has %d rows, the table %d", len(rows), len(byStatus))
	}
	for _, row := range rows {
		status, err := strconv.Atoi(row[1])
		testkit.NoError(t, err)
		if e := byStatus[status]; e == nil || e.En != row[2] || e.Ar != row[3] {
			t.Errorf("the document says %q, the table %+v", row[0], e)
		}
	}
}
