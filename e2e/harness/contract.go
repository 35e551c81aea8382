package harness

import (
	"regexp"
	"testing"
)

// WantAnswer fails the test unless the status and the body are exactly these.
func WantAnswer(t testing.TB, got Answer, status int, body string) {
	t.Helper()
	if got.StatusCode != status || got.Text != body {
		reason := got.Header.Get("Hoko-Reason")
		t.Fatalf("got %d %s (Hoko-Reason %q)\nwant %d %s", got.StatusCode, got.Text, reason, status, body)
	}
}

// WantStatus fails the test unless the status is this one.
func WantStatus(t testing.TB, got Answer, status int) {
	t.Helper()
	if got.StatusCode != status {
		t.Fatalf("got %d %s (Hoko-Reason %q), want %d", got.StatusCode, got.Text, got.Header.Get("Hoko-Reason"), status)
	}
}

// WantHeader fails the test unless the header has exactly one value, this one.
func WantHeader(t testing.TB, got Answer, name, value string) {
	t.Helper()
	if values := got.Header.Values(name); len(values) != 1 || values[0] != value {
		t.Fatalf("%s is %q, want %q", name, values, value)
	}
}

// The published sale, and the bodies that the contract fixes.
const (
	ValidSale = `{"customerExternalId":"customer_123","amount":12900,"currency":"usd","eventName":"Invoice paid",` +
		`"customerName":"John Doe","customerEmail":"john@example.com"}`
	PublishedOK = `{"click":{"id":"click_abc123"},"link":{"id":"link_xyz","url":"https://example.com",` +
		`"shortUrl":"https://hoko.to/abc123",` +
		`"qrCode":"https://hoko.to/qrcode?text=https%3A%2F%2Fhoko.to%2Fabc123%3Fqr%3D1` +
		`&size=512&errorCorrection=H&foreground=000000&background=FFFFFF&margin=1&format=svg",` +
		`"title":null,"description":null,"image":null,"utm":null,` +
		`"collectionId":"550e8400-e29b-41d4-a716-446655440000","partnerId":"partner_123","tenantId":"tenant_456",` +
		`"externalId":"ext_789","createdAt":"2024-01-01T00:00:00Z"},` +
		`"customer":{"id":"customer_123","name":"John Doe","email":"john@example.com","phone":null,` +
		`"avatar":null,"externalId":"customer_123"},"sale":{"amount":12900,` +
		`"currency":"usd","eventName":"Invoice paid","metadata":null}}`

	Body400 = `{"error":{"en":"Invalid request","ar":"طلب غير صالح"}}`
	Body401 = `{"error":{"en":"Invalid API key","ar":"مفتاح API غير صالح"}}`
	Body403 = `{"error":{"en":"Missing required scopes","ar":"الصلاحيات المطلوبة مفقودة"},` +
		`"missingScopes":["conversionsWrite"]}`
	Body405 = `{"error":{"en":"Method not allowed","ar":"الطريقة غير مسموح بها"}}`
	Body413 = `{"error":{"en":"Request body too large","ar":"حجم الطلب كبير جدًا"}}`
	Body415 = `{"error":{"en":"Unsupported content encoding","ar":"ترميز المحتوى غير مدعوم"}}`
	Body421 = `{"error":{"en":"Misdirected request","ar":"طلب موجه إلى خادم غير صحيح"}}`
	Body422 = `{"error":{"en":"Idempotency key was used with a different request",` +
		`"ar":"استُخدم مفتاح عدم التكرار مع طلب مختلف"}}`
	Body425 = `{"error":{"en":"Too early","ar":"الطلب مبكر جدًا"}}`
	Body502 = `{"error":{"en":"Bad gateway","ar":"بوابة غير صالحة"}}`
	Body503 = `{"error":{"en":"Service temporarily unavailable","ar":"الخدمة غير متاحة مؤقتًا"}}`
)

var (
	// UUIDv7 matches the ID of a sale.
	UUIDv7    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	requestID = regexp.MustCompile(`^[0-9a-f-]{36}$`)
)

// WantEdgeHeaders fails the test unless got has the headers of each answer that the edge generates.
func WantEdgeHeaders(t testing.TB, got Answer) {
	t.Helper()
	WantHeader(t, got, "Content-Type", "application/json; charset=utf-8")
	WantHeader(t, got, "Cache-Control", "no-store")
	if ids := got.Header.Values("X-Request-Id"); len(ids) != 1 || !requestID.MatchString(ids[0]) {
		t.Fatalf("X-Request-Id is %q", ids)
	}
}
