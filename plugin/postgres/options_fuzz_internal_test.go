package postgres

import (
	"fmt"
	"strings"
	"testing"
)

// However a password breaks its connection string, the error does not repeat it.
func FuzzDSN(f *testing.F) {
	for _, password := range []string{"s3cret", "s3/cret", "s3%cret", "@s3cret", "s3 cret", "'s3cret", `s3\cret`, "s3?cret=1", "s3#cret", "s3cret sslmode=x", "s3:cret@host:1", "\x00", "é"} {
		for shape := range dsnShapes {
			f.Add(password, byte(shape))
		}
	}
	f.Fuzz(func(t *testing.T, password string, shape byte) {
		dsn := strings.Replace(dsnShapes[int(shape)%len(dsnShapes)], "PASSWORD", password, 1)
		config, err := poolConfig(dsn, nil)
		if err == nil {
			if config.ConnConfig.ConnectTimeout <= 0 || config.ConnConfig.RuntimeParams["application_name"] == "" {
				t.Errorf("%q comes without its bounds", dsn)
			}
			return
		}
		const ours = "connection string cannot be parsed: it must be postgres://user:password@host:5432/database " +
			"or key=value pairs, and in the former a password's special characters must be percent-encoded"
		if text := err.Error(); text != ours && !strings.HasPrefix(text, "connection string names a file: ") {
			t.Errorf("%q gives %q", dsn, text)
		}
		if len(password) > 3 && !strings.Contains(ours, password) && strings.Contains(fmt.Sprintf("%v %+v", err, err), password) {
			t.Errorf("%q is repeated in %q", password, err)
		}
	})
}

var dsnShapes = []string{
	"postgres://hoko:PASSWORD@127.0.0.1:5432/site", "postgres://hoko:PASSWORD@127.0.0.1:port/site", "postgres://hoko:PASSWORD@127.0.0.1/site?connect_timeout=x",
	"postgres://127.0.0.1/site?user=hoko&password=PASSWORD&sslmode=x", "host=127.0.0.1 user=hoko password=PASSWORD", "host=127.0.0.1 password=PASSWORD port=x", "PASSWORD",
}
