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
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/cli/command"
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
		Example:           "  $ caddy hoko health\n  $ caddy hoko health --url http://127.0.0.1:8082",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              printHealth,
	}
	flags := cmd.Flags()
	flags.String("url", "", "URL at which hoko_health answers (default: HEALTH_URL)")
	command.AddAdminFlags(cmd)
	flags.Bool("live", false, "ask the admin endpoint whether the edge runs, even if it is not ready")
	flags.Duration("timeout", 2*time.Second, "how long to wait for the answer")
	flags.Bool("json", true, "accepted as by the other commands: the answer is always JSON")
	for _, flag := range []string{"address", "config", "live"} {
		cmd.MarkFlagsMutuallyExclusive("url", flag)
	}
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
	url := command.Flag(cmd, "url")
	if !live && !cmd.Flags().Changed("address") && !cmd.Flags().Changed("config") {
		url = cmp.Or(url, os.Getenv("HEALTH_URL"))
	}
	if url != "" {
		request, err := http.NewRequest(http.MethodGet, url, nil)
		return request, new(http.Transport), err
	}
	path := "/hoko/health/ready"
	if live {
		path = "/hoko/health/live"
	}
	request, transport, err := command.AdminRequest(cmd, http.MethodGet, path)
	if errors.Is(err, command.ErrAdminOff) {
		err = fmt.Errorf("%w: put hoko_health into a site, and set HEALTH_URL or --url to its address", err)
	}
	return request, transport, err
}

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
