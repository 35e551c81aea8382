package postgres

import (
	"strings"
	"testing"
	"time"
)

func TestOptions_InvalidAreRejected(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"no DSN":                {Options{}, "connection string"},
		"negative writers":      {Options{DSN: "x", Writers: -1}, "negative"},
		"negative batch":        {Options{DSN: "x", Batch: -1}, "negative"},
		"negative queue":        {Options{DSN: "x", Queue: -1}, "negative"},
		"negative timeout":      {Options{DSN: "x", SaleTimeout: -1}, "negative"},
		"too few for 4 writers": {Options{DSN: "x", MaxConns: 7}, "at least 8"},
		"too few for 20":        {Options{DSN: "x", Writers: 20}, "at least 24"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.o.WithDefaults(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestOptions_Defaults(t *testing.T) {
	o, err := Options{DSN: "x"}.WithDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if o.ListenDSN != "x" || o.MaxConns != 16 || o.Writers != 4 || o.Batch != 128 || o.Queue != 4096 ||
		o.SaleTimeout != 10*time.Second || o.Logger == nil {
		t.Errorf("%+v", o)
	}
}

func TestOptions_ConnectionsStayWithinMaxConns(t *testing.T) {
	for maxConns := range 64 {
		for writers := range 32 {
			o, err := Options{DSN: "x", MaxConns: maxConns, Writers: writers}.WithDefaults()
			if err != nil {
				continue
			}
			if n := o.KeyConns(); n < 1 || n > 8 || n+o.Writers+SlowLaneConns+listenerConns > o.MaxConns {
				t.Errorf("max_conns %d, writers %d: %d for lookups", o.MaxConns, o.Writers, n)
			}
		}
	}
}
