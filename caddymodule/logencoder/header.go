package logencoder

import (
	"net/http"

	"go.uber.org/zap/zapcore"
)

// header is the header of a request or a response, logged without fields that may hold secrets.
type header http.Header

// handling is how a header field is logged. Zero means not at all.
type handling int

const (
	asIs   handling = iota + 1
	asURIs          // with secrets redacted
)

// loggedFields lists the header fields that are logged. Others may hold secrets of the site or of
// its clients.
var loggedFields = map[string]handling{
	"Accept": asIs, "Accept-Encoding": asIs, "Accept-Language": asIs,
	"Access-Control-Request-Headers": asIs, "Access-Control-Request-Method": asIs,
	"Age": asIs, "Allow": asIs, "Cache-Control": asIs, "Connection": asIs,
	"Content-Encoding": asIs, "Content-Length": asIs, "Content-Range": asIs, "Content-Type": asIs,
	"Early-Data": asIs, "Etag": asIs, "Expect": asIs, "Forwarded": asIs,
	"Hoko-Attribution": asIs, "Hoko-Reason": asIs, "Hoko-Sale-Id": asIs,
	"Idempotency-Key": asIs, "Idempotency-Replayed": asIs,
	"If-Match": asIs, "If-Modified-Since": asIs, "If-None-Match": asIs, "Last-Modified": asIs,
	"Location": asURIs, "Origin": asURIs, "Range": asIs, "Ratelimit": asIs, "Ratelimit-Policy": asIs,
	"Referer": asURIs, "Retry-After": asIs, "Server": asIs, "Traceparent": asIs, "Upgrade": asIs,
	"User-Agent": asIs, "Vary": asIs, "Via": asIs,
	"X-Forwarded-For": asIs, "X-Forwarded-Host": asIs, "X-Forwarded-Proto": asIs, "X-Real-Ip": asIs,
	"X-Ratelimit-Limit": asIs, "X-Ratelimit-Remaining": asIs, "X-Ratelimit-Reset": asIs,
	"X-Request-Id": asIs,
}

func (h header) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	list := new(fieldValues) // reused for each field, to save allocations
	for name, values := range h {
		list.handling, list.values = loggedFields[name], values
		if list.handling == 0 {
			continue
		}
		if err := enc.AddArray(name, list); err != nil {
			return err
		}
	}
	return nil
}

// fieldValues are the values of a header field.
type fieldValues struct {
	handling handling
	values   []string
}

func (v *fieldValues) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	for _, value := range v.values {
		if v.handling == asURIs {
			value = redactURI(value)
		}
		enc.AppendString(value)
	}
	return nil
}
