package apierror

import "net/http"

// Error is one row of the table: an HTTP status and its texts. Rows are immutable.
type Error struct {
	Status int
	En, Ar string // English and Arabic
	body   []byte
}

// The errors of docs/api.md. WriteMissingScopes and WriteRateLimitExceeded add a member to the
// body.
var (
	InvalidRequest      = row(http.StatusBadRequest, "Invalid request", "طلب غير صالح")
	InvalidKey          = row(http.StatusUnauthorized, "Invalid API key", "مفتاح API غير صالح")
	MissingScopes       = row(http.StatusForbidden, "Missing required scopes", "الصلاحيات المطلوبة مفقودة")
	NotFound            = row(http.StatusNotFound, "Not found", "غير موجود")
	MethodNotAllowed    = row(http.StatusMethodNotAllowed, "Method not allowed", "الطريقة غير مسموح بها")
	RequestTimeout      = row(http.StatusRequestTimeout, "Request timeout", "انتهت مهلة الطلب")
	BodyTooLarge        = row(http.StatusRequestEntityTooLarge, "Request body too large", "حجم الطلب كبير جدًا")
	UnsupportedEncoding = row(http.StatusUnsupportedMediaType, "Unsupported content encoding", "ترميز المحتوى غير مدعوم")
	Misdirected         = row(http.StatusMisdirectedRequest, "Misdirected request", "طلب موجه إلى خادم غير صحيح")
	IdempotencyMismatch = row(http.StatusUnprocessableEntity, "Idempotency key was used with a different request",
		"استُخدم مفتاح عدم التكرار مع طلب مختلف")
	TooEarly          = row(http.StatusTooEarly, "Too early", "الطلب مبكر جدًا")
	RateLimitExceeded = row(http.StatusTooManyRequests, "Rate limit exceeded", "تم تجاوز حد المعدل")
	Internal          = row(http.StatusInternalServerError, "Internal server error", "خطأ داخلي في الخادم")
	BadGateway        = row(http.StatusBadGateway, "Bad gateway", "بوابة غير صالحة")
	Unavailable       = row(http.StatusServiceUnavailable, "Service temporarily unavailable", "الخدمة غير متاحة مؤقتًا")
	GatewayTimeout    = row(http.StatusGatewayTimeout, "Gateway timeout", "انتهت مهلة البوابة")
)

var byStatus = func() map[int]*Error {
	rows := map[int]*Error{}
	for _, e := range []*Error{
		InvalidRequest, InvalidKey, MissingScopes, NotFound, MethodNotAllowed, RequestTimeout, BodyTooLarge,
		UnsupportedEncoding, Misdirected, IdempotencyMismatch, TooEarly, RateLimitExceeded, Internal, BadGateway,
		Unavailable, GatewayTimeout,
	} {
		rows[e.Status] = e
	}
	return rows
}()

// row returns a row with its body. The texts must not need escapes in JSON.
func row(status int, en, ar string) *Error {
	return &Error{status, en, ar, []byte(`{"error":{"en":"` + en + `","ar":"` + ar + `"}}`)}
}

// ForStatus returns the row of a status. A 4xx without a row gets that of 400, and any other status
// that of 500.
func ForStatus(status int) *Error {
	if e, ok := byStatus[status]; ok {
		return e
	}
	if status >= 400 && status < 500 {
		return InvalidRequest
	}
	return Internal
}

// Error returns the English text, for logs.
func (e *Error) Error() string { return e.En }
