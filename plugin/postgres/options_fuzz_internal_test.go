package postgres

import (
	"fmt"
	"strings"
	"testing"
)

// Errors never contain the password, even if it makes the connection string malformed.
func FuzzDSN(f *testing.F) {
	for _, password := range []string{
		"s3cret", "s3/cret", "s3%cret", "@s3cret", "s3 cret", "'s3cret", `s3\cret`, "s3?cret=1", "s3#cret",
		"s3cret sslmode=x", "s3:cret@host:1", "\x00", "é",
	} {
		for shape := range dsnShapes {
			f.Add(password, byte(shape))
		}
	}
	f.Fuzz(func(t *testing.T, password string, shape byte) {
		dsn := strings.Replace(dsnShapes[int(shape)%len(dsnShapes)], "PASSWORD", password, 1)
		c, err := NewConnector(dsn, nil)
		if err == nil {
			config, err := c.config()
			if err != nil {
				t.Fatal(err)
			}
			if config.ConnectTimeout <= 0 || config.RuntimeParams["application_name"] == "" {
				t.Errorf("%q: no defaults: %+v", dsn, config)
			}
			return
		}
		if !strings.HasPrefix(err.Error(), "connection string") {
			t.Errorf("%q gives %q", dsn, err)
		}
		// Other passwords may occur in the text of the error itself.
		if strings.Contains(password, "s3") && strings.Contains(fmt.Sprintf("%v %+v", err, err), password) {
			t.Errorf("%q is quoted in %q", password, err)
		}
	})
}

var dsnShapes = []string{
	"postgres://hoko:PASSWORD@127.0.0.1:5432/site", "postgres://hoko:PASSWORD@127.0.0.1:port/site",
	"postgres://hoko:PASSWORD@127.0.0.1/site?connect_timeout=x",
	"postgres://127.0.0.1/site?user=hoko&password=PASSWORD&sslmode=x", "host=127.0.0.1 user=hoko password=PASSWORD",
	"host=127.0.0.1 password=PASSWORD port=x", "PASSWORD",
}
