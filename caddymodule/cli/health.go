package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/health"
)

func healthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health [--url <url> | --address <admin> | --config <file> [--adapter <name>]] [--live]",
		Short: "Asks a running edge whether it is ready, for health checks",
		Long: `Asks a running edge whether it is ready for requests, prints its answer, and fails
if it is not. An edge whose Postgres, Redis or site is down is ready, but degraded.

With --url or HEALTH_URL, it asks the directive hoko_health at that URL. Otherwise
it asks the admin endpoint: at --address, where the configuration in --config has
it, or where the configuration has it that Caddy saved when it last loaded one.`,
		Example: "  caddy hoko health\n  caddy hoko health --url http://127.0.0.1:8082",
		Args:    cobra.NoArgs,
		RunE:    printHealth,
	}
	flags := cmd.Flags()
	flags.String("url", "", "URL at which hoko_health answers (default: HEALTH_URL)")
	flags.String("address", "", "address of the admin endpoint")
	flags.StringP("config", "c", "", "configuration file that names the admin endpoint")
	flags.StringP("adapter", "a", "", "config adapter of that file")
	flags.Bool("live", false, "ask the admin endpoint whether the edge runs, even if it is not ready")
	flags.Duration("timeout", 2*time.Second, "how long to wait for the answer")
	for _, flag := range []string{"address", "config", "live"} {
		cmd.MarkFlagsMutuallyExclusive("url", flag)
	}
	cmd.MarkFlagsMutuallyExclusive("address", "config")
	return cmd
}

func printHealth(cmd *cobra.Command, _ []string) error {
	timeout, _ := cmd.Flags().GetDuration("timeout")
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	request, transport, err := healthRequest(cmd)
	if err != nil {
		return err
	}
	answer, err := askHealth(request.WithContext(ctx), transport)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", request.URL, err)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), answer)
	return err
}

// healthRequest returns the request to send, and how: without a proxy from the environment.
func healthRequest(cmd *cobra.Command) (*http.Request, *http.Transport, error) {
	live, _ := cmd.Flags().GetBool("live")
	url := stringFlag(cmd, "url")
	if !live && !cmd.Flags().Changed("address") && !cmd.Flags().Changed("config") {
		url = cmp.Or(url, os.Getenv("HEALTH_URL"))
	}
	if url != "" {
		request, err := http.NewRequest(http.MethodGet, url, nil)
		return request, new(http.Transport), err
	}
	address, err := adminAddress(cmd)
	if err != nil {
		return nil, nil, err
	}
	path := "/hoko/health/ready"
	if live {
		path = "/hoko/health/live"
	}
	return adminRequest(address, path)
}

// adminRequest returns a request to the admin endpoint at an address in Caddy's notation.
func adminRequest(address, path string) (*http.Request, *http.Transport, error) {
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
	request, err := http.NewRequest(http.MethodGet, "http://"+host+path, nil)
	if err != nil {
		return nil, nil, err
	}
	if !parsed.IsUnixNetwork() {
		request.Header.Set("Origin", "http://"+host) // for enforce_origin
	}
	return request, &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, parsed.Network, target)
	}}, nil
}

// defaultAdminPort is the port of an admin address without one.
const defaultAdminPort = 2019

// askHealth returns the edge's report, or an error if the edge is not ready.
func askHealth(request *http.Request, transport *http.Transport) (string, error) {
	response, err := transport.RoundTrip(request)
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return "", fmt.Errorf("%w: put hoko_health into a plain HTTP site, such as http://:8082", err)
	}
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		return "", err
	}
	said := string(bytes.TrimSpace(body))
	var report health.Report
	switch {
	case json.Unmarshal(body, &report) != nil || report.Status == "":
		return "", fmt.Errorf("%s: this is not an answer of Hoko Edge about its health", response.Status)
	case response.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s: %s", response.Status, said)
	}
	return said, nil
}

// adminAddress returns the address of the admin endpoint.
func adminAddress(cmd *cobra.Command) (string, error) {
	if address := stringFlag(cmd, "address"); address != "" {
		return address, nil
	}
	config, err := configWithAdmin(cmd)
	if err != nil {
		return "", err
	}
	var settings struct {
		Admin caddy.AdminConfig `json:"admin"`
	}
	if err := json.Unmarshal(config, &settings); err != nil {
		return "", fmt.Errorf("read the configuration: %w", err)
	}
	if settings.Admin.Disabled {
		return "", errors.New("the admin endpoint is off: put hoko_health into a site, " +
			"and set HEALTH_URL or --url to its address")
	}
	return cmp.Or(settings.Admin.Listen, caddy.DefaultAdminListen), nil
}

// configWithAdmin returns the configuration of the flag, or else the one that Caddy last saved.
func configWithAdmin(cmd *cobra.Command) ([]byte, error) {
	if file := stringFlag(cmd, "config"); file != "" {
		config, _, _, err := caddycmd.LoadConfig(file, stringFlag(cmd, "adapter"))
		return config, err
	}
	saved, err := os.ReadFile(caddy.ConfigAutosavePath)
	if errors.Is(err, fs.ErrNotExist) {
		return []byte("{}"), nil
	}
	return saved, err
}
