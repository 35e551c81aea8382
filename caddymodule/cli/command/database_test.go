package command_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	_ "hoko.to/edge/caddymodule"
	"hoko.to/edge/caddymodule/cli/command"
)

// run runs a command on a database with these flags, and returns the connection string it gets and
// all that it prints.
func run(t *testing.T, args ...string) (dsn, printed string, err error) {
	t.Helper()
	cmd := command.WithDatabase(&cobra.Command{Use: "show", SilenceUsage: true},
		func(_ context.Context, _ *cobra.Command, got string) error { dsn = got; return nil })
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return dsn, out.String(), err
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func caddyfile(t *testing.T, hoko string) string {
	t.Helper()
	return file(t, "Caddyfile", "{\n\thoko {\n"+hoko+"\n\t}\n}\n")
}

const (
	secret = "s3cret"
	want   = "postgres://hoko:" + secret + "@db.internal/site"
)

func TestDSN_Sources(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://another")
	t.Setenv("SITE_DSN", want)
	t.Setenv("SITE_PASSWORD", secret)
	other := file(t, "hoko.conf", "{\n\thoko {\n\t\tpostgres "+want+"\n\t}\n}\n")
	stored := file(t, "dsn", want+"\r\n")
	for name, args := range map[string][]string{
		"flag":          {"--database-url", want},
		"file":          {"--database-url-file", stored},
		"without line":  {"--database-url-file", file(t, "dsn", want)},
		"literal":       {"--config", caddyfile(t, "postgres "+want)},
		"adapter":       {"--config", other, "--adapter", "caddyfile"},
		"short flags":   {"-c", other, "-a", "caddyfile"},
		"environment":   {"--config", caddyfile(t, "postgres {env.SITE_DSN}\nredis {env.UNSET_REDIS}")},
		"part":          {"--config", caddyfile(t, "postgres postgres://hoko:{env.SITE_PASSWORD}@db.internal/site")},
		"when adapting": {"--config", caddyfile(t, "postgres {$SITE_DSN}")},
		"secret file":   {"--config", caddyfile(t, "postgres {file."+file(t, "dsn", want+"\n")+"}")},
		"JSON":          {"--config", file(t, "edge.json", `{"apps":{"hoko":{"postgres":{"dsn":"{env.SITE_DSN}"}}}}`)},
	} {
		if got, _, err := run(t, args...); got != want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	t.Setenv("DATABASE_URL", want)
	if got, _, err := run(t); got != want || err != nil {
		t.Errorf("DATABASE_URL: %q, %v", got, err)
	}
}

func TestDSN_ErrorsNameWhatIsMissing(t *testing.T) {
	t.Setenv("DATABASE_URL", want) // is not used if a flag is given
	none := filepath.Join(t.TempDir(), "none")
	config := func(hoko string) []string { return []string{"--config", caddyfile(t, hoko)} }
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"empty flag":     {[]string{"--database-url", ""}, "--database-url is empty"},
		"empty path":     {[]string{"--database-url-file="}, "--database-url-file is empty"},
		"empty config":   {[]string{"--config="}, "--config is empty"},
		"missing file":   {[]string{"--database-url-file", none}, "--database-url-file: open " + none},
		"empty file":     {[]string{"--database-url-file", file(t, "dsn", " \n")}, "is empty"},
		"directory":      {[]string{"--database-url-file", t.TempDir()}, "--database-url-file: read"},
		"missing config": {[]string{"--config", none}, none},
		"no hoko block": {[]string{"--config", file(t, "Caddyfile", "localhost")},
			"--config: the configuration has no hoko block"},
		"no postgres":       {config("guesses 1/s"), "--config: the hoko block has no postgres"},
		"unset variable":    {config("postgres {env.NO_DSN}"), "{env.NO_DSN} is empty: set NO_DSN, e.g. postgres://"},
		"unreadable secret": {config("postgres {file.none}"), "{file.none} is empty or cannot be read"},
		"placeholder":       {config("postgres {vault.dsn}"), "{vault.dsn} is not supported here"},
		"unknown adapter":   {append(config("postgres a"), "--adapter=toml"), "unrecognized config adapter: toml"},
		"no adapter":        {[]string{"--config", file(t, "hoko.conf", "{}\n"+want)}, "config is not valid JSON"},
		"malformed":         {config("postgres " + want + " {\nmaxconns 1\n}"), "unrecognized postgres subdirective"},
		"wrong JSON": {[]string{"--config", file(t, "a.json", `{"apps":{"hoko":{"postgres":"`+want+`"}}}`)},
			"read the hoko block"},
		"two": {[]string{"--database-url", want, "--config", "Caddyfile"}, "[config database-url]"},
		"two others": {[]string{"--database-url", want, "--database-url-file", none},
			"[database-url database-url-file]"},
		"argument": {[]string{"all"}, "unknown command \"all\""},
	} {
		t.Run(name, func(t *testing.T) {
			got, printed, err := run(t, c.args...)
			if err == nil || got != "" || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%q, %v, want %s", got, err, c.want)
			}
			if strings.Contains(printed+err.Error(), secret) {
				t.Errorf("it shows the password: %s%v", printed, err)
			}
		})
	}
	t.Setenv("DATABASE_URL", "")
	if _, _, err := run(t); err == nil || !strings.Contains(err.Error(), "set DATABASE_URL, e.g. postgres://") {
		t.Error(err)
	}
}

func TestDSN_HelpShowsNoPassword(t *testing.T) {
	t.Setenv("DATABASE_URL", want)
	if _, printed, err := run(t, "--help"); err != nil || strings.Contains(printed, secret) ||
		!strings.Contains(printed, "(default: DATABASE_URL)") {
		t.Errorf("%v\n%s", err, printed)
	}
}
