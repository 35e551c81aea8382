package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"hoko.to/edge/caddymodule/logencoder"
	"hoko.to/edge/caddymodule/request"
	"hoko.to/edge/plugin/tracing"
)

// RequestFields deletes header and trailer fields of the request. Caddy's `request_header` deletes
// header fields only.
//
// It also corrects the span of a request that `tracing` before it has started: it keeps the secrets
// out that `format hoko` keeps out of logs, and marks the span as failed if the error routes will
// answer a 5xx, because the span ends before that.
type RequestFields struct {
	// Names of the fields to delete. A `*` at the end matches any text.
	Delete []string `json:"delete,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (RequestFields) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.request_fields", New: func() caddy.Module { return new(RequestFields) }}
}

// Validate returns an error if no field is named, or a name is not valid.
func (f RequestFields) Validate() error {
	if len(f.Delete) == 0 {
		return errors.New("request_fields: no fields to delete")
	}
	for _, name := range f.Delete {
		if err := checkFieldName(name); err != nil {
			return fmt.Errorf("request_fields: %w", err)
		}
	}
	return nil
}

func checkFieldName(name string) error {
	if text := strings.TrimSuffix(name, "*"); text == "" || strings.Contains(text, "*") {
		return fmt.Errorf("%q is not a field name: write X-Name, or X-* for several", name)
	}
	return nil
}

// ServeHTTP deletes the fields and passes the request on. The metrics of HTTP include its requests,
// even if no key is required.
func (f RequestFields) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) (err error) {
	rec, w := request.Begin(w, r)
	err = request.ErrPanicked
	defer func() { rec.End(r, err) }()
	f.deleteFrom(r.Header)
	if r.Trailer != nil { // nil if the client announces no trailer; Caddy then passes none on
		f.deleteFrom(r.Trailer)
		r.Body = &trailerBody{r.Body, func() { f.deleteFrom(r.Trailer) }}
	}
	span := tracing.Of(r.Context())
	span.Rewrite(logencoder.Redact)
	err = next.ServeHTTP(w, r)
	if err != nil {
		request.FailSpan(span, err)
	}
	return err
}

func (f RequestFields) deleteFrom(fields http.Header) {
	for _, name := range f.Delete {
		prefix, several := strings.CutSuffix(name, "*")
		if !several {
			fields.Del(name)
			continue
		}
		for field := range fields {
			if len(field) >= len(prefix) && strings.EqualFold(field[:len(prefix)], prefix) {
				delete(fields, field)
			}
		}
	}
}

// trailerBody calls atEOF once net/http has read the trailer, which may contain fields that were
// not announced.
type trailerBody struct {
	io.ReadCloser
	atEOF func()
}

func (b *trailerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.atEOF()
	}
	return n, err
}

// UnmarshalCaddyfile sets up the handler from its directive. Syntax:
//
//	request_fields [<matcher>] -<field>...
func (f *RequestFields) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	for d.NextArg() {
		name, deletes := strings.CutPrefix(d.Val(), "-")
		if !deletes {
			return d.Errf("request_fields deletes fields: write -%s", name)
		}
		if err := checkFieldName(name); err != nil {
			return d.WrapErr(err)
		}
		f.Delete = append(f.Delete, name)
	}
	if len(f.Delete) == 0 || d.NextBlock(0) {
		return d.ArgErr()
	}
	return nil
}

// Interface guards
var (
	_ caddy.Validator             = RequestFields{}
	_ caddyhttp.MiddlewareHandler = RequestFields{}
	_ caddyfile.Unmarshaler       = (*RequestFields)(nil)
)
