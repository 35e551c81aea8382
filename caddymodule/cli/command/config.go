package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/backend"
)

// AddConfigFlags adds --config and --adapter.
func AddConfigFlags(cmd *cobra.Command, usage string) {
	cmd.Flags().StringP("config", "c", "", usage)
	cmd.Flags().StringP("adapter", "a", "", "config adapter of that file")
}

// Config is a configuration of Caddy.
type Config struct {
	Admin   caddy.AdminConfig          `json:"admin"`
	Storage json.RawMessage            `json:"storage"`
	Apps    map[string]json.RawMessage `json:"apps"`
}

// Hoko has the settings of the app `hoko`, with placeholders expanded. Empty ones have defaults.
type Hoko struct {
	DSN, ListenDSN        string
	MaxConns, Writers     int
	RedisURL, RedisPrefix string
	RedisTimeout          time.Duration
}

// LoadConfig returns the configuration in the file of --config.
func LoadConfig(cmd *cobra.Command) (c Config, err error) {
	text, _, _, err := caddycmd.LoadConfig(Flag(cmd, "config"), Flag(cmd, "adapter"))
	if err != nil {
		return c, err
	}
	return parseConfig(text)
}

func parseConfig(text []byte) (c Config, err error) {
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("read the configuration: %w", err)
	}
	return c, nil
}

// Hoko returns the settings of the app `hoko`. The error names each missing one; the others are
// returned all the same.
func (c Config) Hoko() (h Hoko, err error) {
	if c.Apps["hoko"] == nil {
		return h, errors.New("the configuration has no hoko block")
	}
	var app struct {
		Postgres struct {
			DSN       string `json:"dsn"`
			ListenDSN string `json:"listen_dsn"`
			MaxConns  int    `json:"max_conns"`
		} `json:"postgres"`
		Redis struct {
			URL     string         `json:"url"`
			Prefix  string         `json:"prefix"`
			Timeout caddy.Duration `json:"timeout"`
		} `json:"redis"`
		Sales struct {
			Writers int `json:"writers"`
		} `json:"sales"`
	}
	if err := json.Unmarshal(c.Apps["hoko"], &app); err != nil {
		return h, fmt.Errorf("read the hoko block: %w", err)
	}
	h.MaxConns, h.Writers, h.RedisTimeout = app.Postgres.MaxConns, app.Sales.Writers, time.Duration(app.Redis.Timeout)
	var missing []error
	for _, setting := range []struct {
		to                   *string
		name, value, example string
	}{
		{&h.DSN, "postgres", app.Postgres.DSN, "postgres://user:password@host:5432/database"},
		{&h.ListenDSN, "listen_dsn", app.Postgres.ListenDSN, "postgres://user:password@host:5432/database"},
		{&h.RedisURL, "redis", app.Redis.URL, "redis://host:6379/0"},
		{&h.RedisPrefix, "prefix", app.Redis.Prefix, "staging:"},
	} {
		expanded, err := backend.ExpandPlaceholders(setting.value, setting.example)
		if err != nil {
			missing = append(missing, fmt.Errorf("the hoko block: %s: %w", setting.name, err))
			continue
		}
		*setting.to = expanded
	}
	return h, errors.Join(missing...)
}
