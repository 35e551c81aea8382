package command

import (
	"encoding/json"
	"errors"
	"fmt"

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
	Admin caddy.AdminConfig          `json:"admin"`
	Apps  map[string]json.RawMessage `json:"apps"`
}

// Hoko has the settings of the app `hoko`, with placeholders expanded. Empty ones have defaults.
type Hoko struct {
	DSN, ListenDSN        string
	MaxConns              int
	RedisURL, RedisPrefix string
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

// hokoApp is the JSON of the app `hoko`, as far as commands use it.
type hokoApp struct {
	Postgres struct {
		DSN       string `json:"dsn"`
		ListenDSN string `json:"listen_dsn"`
		MaxConns  int    `json:"max_conns"`
	} `json:"postgres"`
	Redis struct {
		URL    string `json:"url"`
		Prefix string `json:"prefix"`
	} `json:"redis"`
}

func (c Config) hokoApp() (app hokoApp, err error) {
	if c.Apps["hoko"] == nil {
		return app, errors.New("the configuration has no hoko block")
	}
	if err := json.Unmarshal(c.Apps["hoko"], &app); err != nil {
		return app, fmt.Errorf("read the hoko block: %w", err)
	}
	return app, nil
}

// Hoko returns the settings of the app `hoko`. The error names what is missing.
func (c Config) Hoko() (h Hoko, err error) {
	app, err := c.hokoApp()
	if err != nil {
		return h, err
	}
	h.MaxConns = app.Postgres.MaxConns
	for _, setting := range []struct {
		to                   *string
		name, value, example string
	}{
		{&h.DSN, "postgres", app.Postgres.DSN, exampleDSN},
		{&h.ListenDSN, "listen_dsn", app.Postgres.ListenDSN, exampleDSN},
		{&h.RedisURL, "redis", app.Redis.URL, "redis://host:6379/0"},
		{&h.RedisPrefix, "prefix", app.Redis.Prefix, "staging:"},
	} {
		if *setting.to, err = expand(setting.name, setting.value, setting.example); err != nil {
			return h, err
		}
	}
	return h, nil
}

// DSN returns the connection string of the app `hoko`. Its other settings need not be complete.
func (c Config) DSN() (string, error) {
	app, err := c.hokoApp()
	if err != nil {
		return "", err
	}
	if app.Postgres.DSN == "" {
		return "", errors.New("the hoko block has no postgres")
	}
	return expand("postgres", app.Postgres.DSN, exampleDSN)
}

const exampleDSN = "postgres://user:password@host:5432/database"

func expand(name, value, example string) (string, error) {
	expanded, err := backend.ExpandPlaceholders(value, example)
	if err != nil {
		return "", fmt.Errorf("the hoko block: %s: %w", name, err)
	}
	return expanded, nil
}
