package command

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// Ask sends a request to the admin endpoint and returns the body of a 200. The error of another
// status has its text.
func Ask(ctx context.Context, cmd *cobra.Command, method, path string) ([]byte, error) {
	request, transport, err := AdminRequest(cmd, method, path)
	if err != nil {
		return nil, err
	}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		const hint = "is the edge running? --address names another one"
		return nil, fmt.Errorf("ask the edge's admin endpoint: %w (%s)", err, hint)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask the edge's admin endpoint: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return body, nil
	}
	var failed struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &failed) != nil || failed.Error == "" {
		failed.Error = string(bytes.TrimSpace(body))
	}
	return nil, errors.New(cmp.Or(failed.Error, response.Status))
}

// maxAnswer bounds an answer of the admin endpoint, in bytes.
const maxAnswer = 16 << 20

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
