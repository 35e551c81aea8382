package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"
)

// AddAdminFlags adds --address, --config and --adapter, which name the admin endpoint.
func AddAdminFlags(cmd *cobra.Command) {
	cmd.Flags().String("address", "", "address of the admin endpoint")
	AddConfigFlags(cmd, "configuration file that names the admin endpoint")
	cmd.MarkFlagsMutuallyExclusive("address", "config")
}

// ErrAdminOff means that the configuration turns the admin endpoint off.
var ErrAdminOff = errors.New("the admin endpoint is off")

// AdminRequest returns a request to the admin endpoint that the flags of [AddAdminFlags] name, or
// else the configuration that Caddy last saved, and how to send it.
func AdminRequest(cmd *cobra.Command, method, path string) (*http.Request, *http.Transport, error) {
	address, err := adminAddress(cmd)
	if err != nil {
		return nil, nil, err
	}
	return requestTo(address, method, path)
}

// requestTo returns a request to the admin endpoint at an address in Caddy's notation.
func requestTo(address, method, path string) (*http.Request, *http.Transport, error) {
	address, err := caddy.NewReplacer().ReplaceOrErr(address, true, true)
	if err != nil {
		return nil, nil, fmt.Errorf("admin endpoint %q: %w", address, err)
	}
	parsed, err := caddy.ParseNetworkAddressWithDefaults(address, "tcp", defaultAdminPort)
	if err != nil || parsed.PortRangeSize() > 1 {
		return nil, nil, cmp.Or(err, fmt.Errorf("admin endpoint %q: it has several ports", address))
	}
	target, host := parsed.JoinHostPort(0), parsed.JoinHostPort(0)
	if parsed.IsUnixNetwork() {
		target, _, _ = strings.Cut(target, "|") // its permissions
		host = "127.0.0.1"                      // any
	}
	request, err := http.NewRequest(method, "http://"+host+path, nil)
	if err != nil {
		return nil, nil, err
	}
	if !parsed.IsUnixNetwork() {
		request.Header.Set("Origin", "http://"+host) // for enforce_origin
	}
	// Without a proxy from the environment.
	return request, &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, parsed.Network, target)
	}}, nil
}

// defaultAdminPort is the port of an admin address without one.
const defaultAdminPort = 2019

func adminAddress(cmd *cobra.Command) (string, error) {
	if address := Flag(cmd, "address"); address != "" {
		return address, nil
	}
	config, err := configWithAdmin(cmd)
	if err != nil {
		return "", err
	}
	if config.Admin.Disabled {
		return "", ErrAdminOff
	}
	return cmp.Or(config.Admin.Listen, caddy.DefaultAdminListen), nil
}

// configWithAdmin returns the configuration of the flag, or else the one that Caddy last saved.
func configWithAdmin(cmd *cobra.Command) (c Config, err error) {
	if Flag(cmd, "config") != "" {
		return LoadConfig(cmd)
	}
	saved, err := os.ReadFile(caddy.ConfigAutosavePath)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	return parseConfig(saved)
}
