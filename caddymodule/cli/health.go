package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func healthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health [--live] [--url <url>] [--address <admin>] [--config <file> [--adapter <name>]]",
		Short: "Asks a running edge whether it is ready, for container health checks",
		Long: `Asks a running edge whether it is ready for requests, prints what it says, and fails
if it is not. An edge whose Postgres, Redis or site is down is ready but degraded.

It asks the URL of hoko_health in the Caddyfile if you name one with --url or
HEALTH_URL, else the admin endpoint: at --address, as --config says, or as the
config says that Caddy saved when it last loaded one.`,
		Example: "  caddy hoko health\n  caddy hoko health --url http://127.0.0.1:8082",
		Args:    cobra.NoArgs,
		RunE:    askHealth,
	}
	flags := cmd.Flags()
	flags.String("url", "", "URL that hoko_health answers (default: HEALTH_URL)")
	flags.String("address", "", "address of the admin endpoint")
	flags.StringP("config", "c", "", "configuration file that names the admin endpoint")
	flags.StringP("adapter", "a", "", "config adapter of that file")
	flags.Bool("live", false, "ask the admin endpoint whether the edge runs, not whether it is ready")
	flags.Duration("timeout", 3*time.Second, "how long to wait for the answer")
	cmd.MarkFlagsMutuallyExclusive("url", "address", "config")
	cmd.MarkFlagsMutuallyExclusive("url", "live")
	return cmd
}

func askHealth(cmd *cobra.Command, _ []string) error {
	timeout, _ := cmd.Flags().GetDuration("timeout")
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	ask := askAdmin
	if stringFlag(cmd, "url") != "" || os.Getenv("HEALTH_URL") != "" && !adminWanted(cmd) {
		ask = askURL
	}
	said, err := ask(ctx, cmd)
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
	return err
}

// adminWanted reports whether a flag asks for the admin endpoint.
func adminWanted(cmd *cobra.Command) bool {
	live, _ := cmd.Flags().GetBool("live")
	return live || stringFlag(cmd, "address") != "" || stringFlag(cmd, "config") != ""
}

func askURL(ctx context.Context, cmd *cobra.Command) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, cmp.Or(stringFlag(cmd, "url"), os.Getenv("HEALTH_URL")), nil)
	if err != nil {
		return "", err
	}
	response, err := (&http.Transport{}).RoundTrip(request) // without a proxy of the environment
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		return "", err
	}
	said := strings.TrimSpace(string(body))
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", response.Status, said)
	}
	return said, nil
}

func askAdmin(ctx context.Context, cmd *cobra.Command) (string, error) {
	address, err := adminAddress(cmd)
	if err != nil {
		return "", err
	}
	path := "/hoko/health/ready"
	if live, _ := cmd.Flags().GetBool("live"); live {
		path = "/hoko/health/live"
	}
	type answer struct {
		said string
		err  error
	}
	answered := make(chan answer, 1)
	go func() { // ends with the answer or the process, because AdminAPIRequest takes no context
		said, err := getAdmin(address, path)
		answered <- answer{said, err}
	}()
	select {
	case a := <-answered:
		return a.said, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func getAdmin(address, path string) (string, error) {
	response, err := caddycmd.AdminAPIRequest(address, http.MethodGet, path, nil, nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return strings.TrimSpace(string(body)), err
}

// adminAddress returns the address of the admin endpoint: that of a flag, or of the config that a
// flag names, or of the config that Caddy last saved.
func adminAddress(cmd *cobra.Command) (string, error) {
	if address := stringFlag(cmd, "address"); address != "" {
		return address, nil
	}
	config, err := adminConfig(cmd)
	if err != nil {
		return "", err
	}
	var settings struct {
		Admin caddy.AdminConfig `json:"admin"`
	}
	if err := json.Unmarshal(config, &settings); err != nil {
		return "", fmt.Errorf("read the config's admin endpoint: %w", err)
	}
	if settings.Admin.Disabled {
		return "", errors.New("the admin endpoint is off: put hoko_health into a site, " +
			"and set HEALTH_URL or --url to its address")
	}
	return cmp.Or(settings.Admin.Listen, caddy.DefaultAdminListen), nil
}

func adminConfig(cmd *cobra.Command) ([]byte, error) {
	if file := stringFlag(cmd, "config"); file != "" {
		config, _, _, err := caddycmd.LoadConfig(file, stringFlag(cmd, "adapter"))
		return config, err
	}
	saved, err := os.ReadFile(caddy.ConfigAutosavePath)
	if err != nil { // Caddy has saved none
		return []byte("{}"), nil
	}
	return saved, nil
}
