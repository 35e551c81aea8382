// Package logencoder provides the log encoder "hoko", which writes what Caddy's JSON encoder
// writes, but no secrets.
package logencoder

import (
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

// Encoder encodes log entries as Caddy's JSON encoder does, but for secrets. It logs those header
// fields only that it knows to be harmless, replaces the values of URL parameters that are named
// like secrets, and masks text that has the form of an API key wherever it occurs. On a terminal it
// writes as Caddy's console encoder does.
type Encoder struct {
	encoder `json:"-"`
	logging.LogEncoderConfig
}

// CaddyModule returns the Caddy module information.
func (Encoder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "caddy.logging.encoders.hoko",
		New: func() caddy.Module { return new(Encoder) },
	}
}

// Provision sets up the encoder.
func (e *Encoder) Provision(caddy.Context) error {
	e.encoder.Encoder = zapcore.NewJSONEncoder(e.ZapcoreEncoderConfig())
	return nil
}

// ConfigureDefaultFormat writes for people if the log goes to a terminal, as Caddy's own default does.
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
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	return e.LogEncoderConfig.UnmarshalCaddyfile(d)
}

// encoder is what encodes: another encoder, to which it passes no secrets.
type encoder struct{ zapcore.Encoder }

// Clone returns an encoder that keeps secrets out, too.
func (e encoder) Clone() zapcore.Encoder { return encoder{e.Encoder.Clone()} }

// AddObject adds a field of a logger's own, such as the request of an access log.
func (e encoder) AddObject(key string, object zapcore.ObjectMarshaler) error {
	return e.Encoder.AddObject(key, withoutSecrets(object))
}

// AddArray adds a field of a logger's own, or a header field: an encoder that wraps this one, such
// as filter, adds them one by one.
func (e encoder) AddArray(key string, array zapcore.ArrayMarshaler) error {
	values, ok := array.(caddyhttp.LoggableStringArray)
	if !ok || key == "transfer_encoding" {
		return e.Encoder.AddArray(key, array)
	}
	if logged[key] == 0 {
		return nil
	}
	return e.Encoder.AddArray(key, &lines{logged[key], values})
}

// AddString adds a field of a logger's own.
func (e encoder) AddString(key, value string) {
	if key == "uri" {
		value = redactURI(value)
	}
	e.Encoder.AddString(key, value)
}

// EncodeEntry encodes an entry with the fields that only it has.
func (e encoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	pooled := fieldsPool.Get().(*[]zapcore.Field)
	harmless := append((*pooled)[:0], fields...) // other encoders may get the same fields
	for i := range harmless {
		switch field := &harmless[i]; {
		case field.Type == zapcore.ObjectMarshalerType:
			field.Interface = withoutSecrets(field.Interface.(zapcore.ObjectMarshaler))
		case field.Type == zapcore.StringType && field.Key == "uri":
			field.String = redactURI(field.String)
		}
	}
	line, err := e.Encoder.EncodeEntry(entry, harmless)
	clear(harmless)
	*pooled = harmless
	fieldsPool.Put(pooled)
	if err != nil {
		return nil, err
	}
	maskKeys(line.Bytes())
	return line, nil
}

// fieldsPool holds the copies of fields of entries that were encoded.
var fieldsPool = sync.Pool{New: func() any { return new([]zapcore.Field) }}

// withoutSecrets returns what stands for an object in the log.
func withoutSecrets(object zapcore.ObjectMarshaler) zapcore.ObjectMarshaler {
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
