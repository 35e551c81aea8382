package apierror

// Error is one row of the table: an HTTP status and its texts. Rows are immutable.
type Error struct {
	Status int
	En, Ar string // English and Arabic
	body   []byte
}

// The errors of docs/api.md. WriteMissingScopes and WriteRateLimitExceeded write their rows with
// one more member.
var (
	InvalidRequest      = row(400, "Invalid request", "طلب غير صالح")
	InvalidKey          = row(401, "Invalid API key", "مفتاح API غير صالح")
	MissingScopes       = row(403, "Missing required scopes", "الصلاحيات المطلوبة مفقودة")
	NotFound            = row(404, "Not found", "غير موجود")
	MethodNotAllowed    = row(405, "Method not allowed", "الطريقة غير مسموح بها")
	RequestTimeout      = row(408, "Request timeout", "انتهت مهلة الطلب")
	BodyTooLarge        = row(413, "Request body too large", "حجم الطلب كبير جدًا")
	UnsupportedEncoding = row(415, "Unsupported content encoding", "ترميز المحتوى غير مدعوم")
	Misdirected         = row(421, "Misdirected request", "طلب موجه إلى خادم غير صحيح")
	IdempotencyMismatch = row(422, "Idempotency key was used with a different request",
		"استُخدم مفتاح عدم التكرار مع طلب مختلف")
	TooEarly          = row(425, "Too early", "الطلب مبكر جدًا")
	RateLimitExceeded = row(429, "Rate limit exceeded", "تم تجاوز حد المعدل")
	Internal          = row(500, "Internal server error", "خطأ داخلي في الخادم")
	BadGateway        = row(502, "Bad gateway", "بوابة غير صالحة")
	Unavailable       = row(503, "Service temporarily unavailable", "الخدمة غير متاحة مؤقتًا")
	GatewayTimeout    = row(504, "Gateway timeout", "انتهت مهلة البوابة")
)

var byStatus = map[int]*Error{}

// row returns a new row of the table. Its texts must not need escapes in JSON.
func row(status int, en, ar string) *Error {
	e := &Error{status, en, ar, []byte(`{"error":{"en":"` + en + `","ar":"` + ar + `"}}`)}
	byStatus[status] = e
	return e
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
