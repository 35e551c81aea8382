package cli_test

import (
	"encoding/json"
	"net"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	moduleroot "hoko.to/edge"
	_ "hoko.to/edge/caddymodule"
	"hoko.to/edge/caddymodule/cli"
)

// adapt returns the config of a Caddyfile. It sets the variables that the shipped one requires.
func adapt(t *testing.T, caddyfile string) (config struct {
	Admin struct {
		Listen   string
		Disabled bool
	}
	Storage struct{ Root string }
	Apps    struct {
		HTTP struct {
			Servers map[string]map[string]any
		}
		Hoko any
	}
}) {
	t.Helper()
	t.Setenv("SITE_ADDRESS", "https://localhost:8443")
	t.Setenv("UPSTREAM", "127.0.0.1:8080")
	options := map[string]any{"filename": "Caddyfile"}
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), options)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestDev_RunsTheShippedRoutesOnLoopback(t *testing.T) {
	shippedConfig := adapt(t, moduleroot.Caddyfile)
	const dir = `/var/lib/a "state" directory`
	got := adapt(t, cli.DevCaddyfile(dir, 8443, "127.0.0.1", "[::1]"))

	server := got.Apps.HTTP.Servers["srv0"]
	if !reflect.DeepEqual(server["listen"], []any{"127.0.0.1:8443", "[::1]:8443"}) || len(got.Apps.HTTP.Servers) != 1 {
		t.Errorf("it listens on %v", got.Apps.HTTP.Servers)
	}
	for _, part := range []string{"routes", "errors", "logs", "allow_0rtt"} {
		if want := shippedConfig.Apps.HTTP.Servers["srv0"][part]; !reflect.DeepEqual(server[part], want) {
			t.Errorf("%s are %v\nwant %v", part, server[part], want)
		}
	}
	if !reflect.DeepEqual(got.Apps.Hoko, shippedConfig.Apps.Hoko) {
		t.Errorf("hoko is %v\nwant %v", got.Apps.Hoko, shippedConfig.Apps.Hoko)
	}
	if got.Storage.Root != filepath.Join(dir, "caddy") || got.Admin.Listen != "unix/"+filepath.Join(dir, "admin.sock") {
		t.Errorf("storage %q, admin %q", got.Storage.Root, got.Admin.Listen)
	}
}

func TestDev_NoAdminEndpointIfItsPathIsTooLong(t *testing.T) {
	caddyfile := cli.DevCaddyfile("/"+strings.Repeat("d", cli.MaxSocketPath), 8443, "127.0.0.1")
	if !adapt(t, caddyfile).Admin.Disabled {
		t.Error("the admin endpoint is not disabled")
	}
}

func TestFreeLoopback_PortInUse(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := tcp.Addr().(*net.TCPAddr).Port
	want := "port " + strconv.Itoa(port) + " is in use: choose another one with --port"
	if _, err := cli.FreeLoopback(port); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("for TCP: %v", err)
	}
	tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cli.FreeLoopback(port); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("for UDP: %v", err)
	}
	udp.Close()
	if hosts, err := cli.FreeLoopback(port); err != nil || hosts[0] != "127.0.0.1" {
		t.Errorf("free: %v %v", hosts, err)
	}
	if _, err := cli.FreeLoopback(70000); err == nil || !strings.Contains(err.Error(), "--port") {
		t.Errorf("an invalid port: %v", err)
	}
}
