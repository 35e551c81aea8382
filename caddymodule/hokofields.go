package caddymodule

import (
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// StripHokoFields removes the request's fields, headers and trailers alike, that are named `Hoko-*`:
// to the site, they are the edge's.
type StripHokoFields struct{}

// CaddyModule returns the Caddy module information.
func (StripHokoFields) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.strip_hoko_fields", New: func() caddy.Module { return new(StripHokoFields) }}
}

func (StripHokoFields) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	stripHoko(r.Header)
	if r.Trailer != nil { // some are announced: others may come with them, once the body has been read
		stripHoko(r.Trailer)
		r.Body = &strippedTrailers{r.Body, r.Trailer}
	}
	return next.ServeHTTP(w, r)
}

func stripHoko(fields http.Header) {
	maps.DeleteFunc(fields, func(name string, _ []string) bool {
		const prefix = "Hoko-"
		return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
	})
}

// strippedTrailers strips the trailers as soon as they are there: at the end of the body.
type strippedTrailers struct {
	io.ReadCloser
	trailers http.Header
}

func (b *strippedTrailers) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		stripHoko(b.trailers)
	}
	return n, err
}

// UnmarshalCaddyfile sets up the handler from its directive. Syntax:
//
//	strip_hoko_fields [<matcher>]
func (*StripHokoFields) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return parseNothing(d)
}

// Interface guards
var (
	_ caddyhttp.MiddlewareHandler = (*StripHokoFields)(nil)
	_ caddyfile.Unmarshaler       = (*StripHokoFields)(nil)
)
