package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"no DSN":             {Options{}, "connection string"},
		"negative writers":   {Options{DSN: "x", Writers: -1}, "negative"},
		"negative batch":     {Options{DSN: "x", Batch: -1}, "negative"},
		"negative queue":     {Options{DSN: "x", Queue: -1}, "negative"},
		"negative timeout":   {Options{DSN: "x", SaleTimeout: -1}, "negative"},
		"too few for four":   {Options{DSN: "x", MaxConns: 7}, "at least 8"},
		"too few for twenty": {Options{DSN: "x", Writers: 20}, "at least 24"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.o.WithDefaults(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something of %q", err, c.want)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	o, err := Options{DSN: "x"}.WithDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if o.ListenDSN != "x" || o.MaxConns != 16 || o.Writers != 4 || o.Batch != 128 || o.Queue != 4096 || o.SaleTimeout != 10*time.Second || o.Logger == nil {
		t.Errorf("%+v", o)
	}
}

func TestConnectionsNeverExceedTheirBound(t *testing.T) {
	for maxConns := range 64 {
		for writers := range 32 {
			o, err := Options{DSN: "x", MaxConns: maxConns, Writers: writers}.WithDefaults()
			if err != nil {
				continue
			}
			if n := o.KeyConns(); n < 1 || n > 8 || n+o.Writers+SlowLaneConns+listenerConns > o.MaxConns {
				t.Errorf("max_conns %d, writers %d: %d for keys", o.MaxConns, o.Writers, n)
			}
		}
	}
}

func TestInvalidDSNIsNotRepeated(t *testing.T) {
	for _, dsn := range []string{
		"postgres://hoko:s3cret@host:port/db",
		"postgres://hoko:s3/cret@host/db",
		"postgres://hoko:s3%cret@host/db",
		"postgres://hoko:@s3cret@host:x/db",
		"postgres://hoko@host/db?sslmode=s3cret",
		"host=host password=s3cret port=x",
		"host=host password = 's3cret",
		"password:s3cret",
		"postgres://hoko:s3cret@host/db?connect_timeout=x",
		"postgres://hoko:s3cret@host/db?pool_max_conns=x",
	} {
		_, err := poolConfig(dsn, nil)
		if err == nil {
			t.Errorf("%s: accepted", dsn)
			continue
		}
		if text := err.Error(); strings.Contains(text, "s3") || strings.Contains(text, "cret") {
			t.Errorf("%s: repeated in %q", dsn, text)
		}
	}
}

func TestMissingCertificateIsNamed(t *testing.T) {
	_, err := poolConfig("postgres://hoko:s3cret@host/db?sslmode=verify-full&sslrootcert=/no/such/ca.pem", nil)
	if err == nil || !strings.Contains(err.Error(), "/no/such/ca.pem") || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
}

func TestConnectionSettings(t *testing.T) {
	t.Setenv("PGCONNECT_TIMEOUT", "")
	parse := func(dsn string) *pgx.ConnConfig {
		t.Helper()
		config, err := poolConfig(dsn, map[string]string{"jit": "off"})
		if err != nil {
			t.Fatal(err)
		}
		return config.ConnConfig
	}
	t.Run("defaults", func(t *testing.T) {
		c := parse("postgres://host/db?pool_max_conns=3")
		if c.ConnectTimeout != connectTimeout || c.RuntimeParams["application_name"] != "hoko-edge" || c.RuntimeParams["jit"] != "off" {
			t.Errorf("%v %v", c.ConnectTimeout, c.RuntimeParams)
		}
		if _, sent := c.RuntimeParams["pool_max_conns"]; sent {
			t.Error("the server would be sent a setting of the pool")
		}
		if c.ValidateConnect != nil {
			t.Error("a single host may be anything")
		}
	})
	t.Run("the connection string's own come first", func(t *testing.T) {
		c := parse("postgres://host/db?connect_timeout=7&application_name=mine&jit=on")
		if c.ConnectTimeout != 7*time.Second || c.RuntimeParams["application_name"] != "mine" || c.RuntimeParams["jit"] != "on" {
			t.Errorf("%v %v", c.ConnectTimeout, c.RuntimeParams)
		}
	})
	t.Run("of several hosts the primary", func(t *testing.T) {
		for _, dsn := range []string{"postgres://one,two/db", "postgres://one:1,one:2/db"} {
			if parse(dsn).ValidateConnect == nil {
				t.Errorf("%s: any host would do", dsn)
			}
		}
	})
}
