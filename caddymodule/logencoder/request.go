package logencoder

import (
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap/zapcore"
)

// request is logged with the same members as [caddyhttp.LoggableHTTPRequest].
type request http.Request

func (r *request) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	ip, port, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip, port = r.RemoteAddr, ""
	}
	enc.AddString("remote_ip", ip)
	enc.AddString("remote_port", port)
	if ip, ok := caddyhttp.GetVar((*http.Request)(r).Context(), caddyhttp.ClientIPVarKey).(string); ok {
		enc.AddString("client_ip", ip)
	}
	enc.AddString("proto", r.Proto)
	enc.AddString("method", r.Method)
	enc.AddString("host", r.Host)
	enc.AddString("uri", redactURI(r.RequestURI))
	if err := enc.AddObject("headers", header(r.Header)); err != nil {
		return err
	}
	if r.TransferEncoding != nil {
		if err := enc.AddArray("transfer_encoding", caddyhttp.LoggableStringArray(r.TransferEncoding)); err != nil {
			return err
		}
	}
	if r.TLS != nil {
		return enc.AddObject("tls", (*caddyhttp.LoggableTLSConnState)(r.TLS))
	}
	return nil
}
