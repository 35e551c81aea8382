// Package logencoder provides Caddy's log format "hoko": JSON as Caddy writes it, without secrets.
package logencoder

import (
	"bytes"
	"fmt"
	"os"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// Encoder encodes log entries as Caddy's JSON encoder does, or as its console encoder does on a
// terminal, but keeps secrets out. It omits header fields that are not known to be harmless,
// replaces the values of URL parameters with names such as token, and masks API keys in any text.
// It omits the lines about health checks by way of the admin endpoint.
type Encoder struct {
	encoder `json:"-"`
	logging.LogEncoderConfig
}

// CaddyModule returns the Caddy module information.
func (Encoder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.logging.encoders.hoko", New: func() caddy.Module { return new(Encoder) }}
}

// Provision sets up the encoder.
func (e *Encoder) Provision(caddy.Context) error {
	e.encoder.Encoder = zapcore.NewJSONEncoder(e.ZapcoreEncoderConfig())
	return nil
}

// ConfigureDefaultFormat selects Caddy's console encoder if the log goes to a terminal.
func (e *Encoder) ConfigureDefaultFormat(to caddy.WriterOpener) error {
	if !caddy.IsWriterStandardStream(to) || !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil
	}
	console := logging.ConsoleEncoder{LogEncoderConfig: e.LogEncoderConfig}
	if err := console.Provision(caddy.Context{}); err != nil {
		return fmt.Errorf("console encoder: %w", err)
	}
	e.encoder.Encoder = console.Encoder
	return nil
}

// UnmarshalCaddyfile sets up the encoder from Caddyfile tokens. Syntax:
//
//	hoko {
//		<the subdirectives of json>
//	}
func (e *Encoder) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the encoder's name
	if d.NextArg() {
		return d.ArgErr()
	}
	return e.LogEncoderConfig.UnmarshalCaddyfile(d)
}

// encoder passes entries to another encoder, without secrets.
type encoder struct{ zapcore.Encoder }

// Clone returns a copy.
func (e encoder) Clone() zapcore.Encoder { return encoder{e.Encoder.Clone()} }

// AddObject adds a field of the logger, such as the request of an access log.
func (e encoder) AddObject(key string, object zapcore.ObjectMarshaler) error {
	return e.Encoder.AddObject(key, redactObject(object))
}

// AddArray adds a field of the logger, or a header field: an encoder that wraps this one, such as
// filter, adds each one separately.
func (e encoder) AddArray(key string, array zapcore.ArrayMarshaler) error {
	values, ok := array.(caddyhttp.LoggableStringArray)
	if !ok || key == "transfer_encoding" {
		return e.Encoder.AddArray(key, array)
	}
	if loggedFields[key] == 0 {
		return nil
	}
	return e.Encoder.AddArray(key, &fieldValues{loggedFields[key], values})
}

// AddString adds a field of the logger, and redacts the field uri.
func (e encoder) AddString(key, value string) {
	if key == "uri" {
		value = redactURI(value)
	}
	e.Encoder.AddString(key, value)
}

// EncodeEntry encodes an entry with the fields of the logger and of the entry.
func (e encoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	pooled := fieldsPool.Get().(*[]zapcore.Field)
	redactedFields := append((*pooled)[:0], fields...) // a copy: other encoders may get the same fields
	for i := range redactedFields {
		switch field := &redactedFields[i]; {
		case field.Type == zapcore.ObjectMarshalerType:
			field.Interface = redactObject(field.Interface.(zapcore.ObjectMarshaler))
		case field.Type == zapcore.StringType && field.Key == "uri":
			field.String = redactURI(field.String)
		}
	}
	line, err := e.Encoder.EncodeEntry(entry, redactedFields)
	clear(redactedFields)
	*pooled = redactedFields
	fieldsPool.Put(pooled)
	if err != nil {
		return nil, err
	}
	if entry.LoggerName == "admin.api" && entry.Level == zapcore.InfoLevel &&
		bytes.Contains(line.Bytes(), healthCheck) {
		line.Reset()
	}
	maskKeys(line.Bytes())
	return line, nil
}

// healthCheck is in the line that Caddy writes for each health check by way of the admin endpoint,
// every 10 s in a container. EncodeEntry omits it.
var healthCheck = []byte(`"uri":"/hoko/health/`)

// fieldsPool holds slices for EncodeEntry's copies.
var fieldsPool = sync.Pool{New: func() any { return new([]zapcore.Field) }}

// redactObject returns an object without its secrets.
func redactObject(object zapcore.ObjectMarshaler) zapcore.ObjectMarshaler {
	switch object := object.(type) {
	case caddyhttp.LoggableHTTPRequest:
		return (*request)(object.Request)
	case *caddyhttp.LoggableHTTPRequest:
		return (*request)(object.Request)
	case caddyhttp.LoggableHTTPHeader:
		return header(object.Header)
	case *caddyhttp.LoggableHTTPHeader:
		return header(object.Header)
	}
	return object
}

// Interface guards
var (
	_ caddy.Provisioner                = (*Encoder)(nil)
	_ caddy.ConfiguresFormatterDefault = (*Encoder)(nil)
	_ caddyfile.Unmarshaler            = (*Encoder)(nil)
	_ zapcore.Encoder                  = (*Encoder)(nil)
)
