package logencoder

import (
	"testing"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestEncoder_OmitsHealthChecks(t *testing.T) {
	for _, tc := range []struct {
		logger, uri string
		level       zapcore.Level
		omitted     bool
	}{
		{"admin.api", "/hoko/health/ready", zapcore.InfoLevel, true},
		{"admin.api", "/hoko/health/live", zapcore.InfoLevel, true},
		{"admin.api", "/load", zapcore.InfoLevel, false},
		{"admin.api", "/load?/hoko/health/", zapcore.InfoLevel, false},
		{"admin.api", "/hoko/health/ready", zapcore.ErrorLevel, false},
		{"http.log.access", "/hoko/health/ready", zapcore.InfoLevel, false},
	} {
		var e Encoder
		if err := e.Provision(caddy.Context{}); err != nil {
			t.Fatal(err)
		}
		clone := e.Clone()
		clone.AddString("uri", tc.uri) // as logger.With does
		entry := zapcore.Entry{LoggerName: tc.logger, Level: tc.level}
		line, err := clone.EncodeEntry(entry, []zap.Field{zap.String("a", "b")})
		if err != nil || (line.Len() == 0) != tc.omitted {
			t.Errorf("%+v: %v %q", tc, err, line)
		}
	}
}
