package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
)

// RequestTrailer deletes trailer fields of the request, which `request_header` leaves alone.
type RequestTrailer struct {
	// Names of the fields to delete. A `*` at the start or at the end stands for any text.
	Delete []string `json:"delete,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (RequestTrailer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.request_trailer", New: func() caddy.Module { return new(RequestTrailer) }}
}

// Validate returns an error if there is nothing to delete.
func (t RequestTrailer) Validate() error {
	if len(t.Delete) == 0 {
		return errors.New("request_trailer: no fields to delete")
	}
	return nil
}

func (t RequestTrailer) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Trailer != nil { // otherwise none is announced, and Caddy passes none on
		ops, repl := headers.HeaderOps{Delete: t.Delete}, replacer(r)
		remove := func() { ops.ApplyTo(r.Trailer, repl) }
		remove()
		r.Body = &trailedBody{r.Body, remove}
	}
	return next.ServeHTTP(w, r)
}

// trailedBody calls atEOF once net/http has read the trailer, which then holds fields that were not
// announced, too.
type trailedBody struct {
	io.ReadCloser
	atEOF func()
}

func (b *trailedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.atEOF()
	}
	return n, err
}

// UnmarshalCaddyfile sets up the handler from its directive. Syntax:
//
//	request_trailer [<matcher>] -<field>...
func (t *RequestTrailer) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	for d.NextArg() {
		name, deletes := strings.CutPrefix(d.Val(), "-")
		if !deletes || name == "" {
			return d.Errf("request_trailer deletes fields: write -%s", name)
		}
		t.Delete = append(t.Delete, name)
	}
	if len(t.Delete) == 0 || d.NextBlock(0) {
		return d.ArgErr()
	}
	return nil
}

// Interface guards
var (
	_ caddy.Validator             = RequestTrailer{}
	_ caddyhttp.MiddlewareHandler = RequestTrailer{}
	_ caddyfile.Unmarshaler       = (*RequestTrailer)(nil)
)
