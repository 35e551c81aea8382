package caddymodule

import (
	"bytes"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
)

func TestSecrets_AreNotInConfigOrLog(t *testing.T) {
	const secret = "pa55word"
	e := newEdge(t, "postgres://hoko:"+secret+"@127.0.0.1:1/site", "redis://:"+secret+"@127.0.0.1:1")
	e.routes = saleRoutes
	e.mustLoad()
	e.send("POST", "/api/track/sale", bearer("hoko_"+secret), validSale)
	written.await(t, "not listening for changed keys", "level", "warn")
	written.await(t, "handled request", "status", "503")
	if strings.Contains(string(e.config()), secret) {
		t.Error("the config contains the password")
	}
	if strings.Contains(written.text(), secret) {
		t.Errorf("the log contains the password:\n%s", written.text())
	}
	written.reset()

	e.dsn = "postgres://hoko:" + secret + "@127.0.0.1:port/site"
	t.Setenv("DATABASE_URL", e.dsn)
	if err := e.load(); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("error %v", err)
	}
	t.Setenv("DATABASE_URL", "postgres://hoko@127.0.0.1:1/site")
	t.Setenv("REDIS_URL", "rediss://:"+secret+"@127.0.0.1:port")
	if err := e.load(); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("error %v", err)
	}
	if strings.Contains(written.text(), secret) {
		t.Errorf("the log contains the password:\n%s", written.text())
	}
}

func TestSecrets_WarnsOfPasswordInConfig(t *testing.T) {
	for address, warned := range map[string]bool{
		"postgres://hoko:secret@127.0.0.1:1/site":       true,
		"host=127.0.0.1 port=1 password=secret":         true,
		"postgres://hoko:{env.SECRET}@127.0.0.1:1/site": false,
		"host=127.0.0.1 port=1 password={env.SECRET}":   false,
		"postgres://127.0.0.1:1/site":                   false,
		"postgres://hoko@127.0.0.1:1/site":              false,
	} {
		if got := literalPassword.MatchString(address); got != warned {
			t.Errorf("%s: %v", address, got)
		}
	}
	e := newEdge(t, "", testenv.Redis(t))
	e.hoko, e.routes = "", "respond 404"
	literal := []byte("postgres://hoko:secret@127.0.0.1:1/site")
	mustRun(t, bytes.ReplaceAll(e.config(), []byte("{env.DATABASE_URL}"), literal))
	written.await(t, "the config, which the admin endpoint shows, contains a password: use {env.*} or {file.*}",
		"setting", "postgres")
}
