package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	shipped = "../Caddyfile"
	sidecar = "../examples/sidecar.Caddyfile"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// adapt turns a Caddyfile into JSON, as `caddy adapt --validate=false` does.
func adapt(t testing.TB, text string) ([]byte, []caddyconfig.Warning, error) {
	t.Helper()
	return caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
}

// mustAdapt is adapt, but fails the test on an error or a warning.
func mustAdapt(t testing.TB, text string) []byte {
	t.Helper()
	config, warnings, err := adapt(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Fatalf("warnings: %v", warnings)
	}
	return config
}

// unset removes a variable from the environment until the test ends.
func unset(t *testing.T, name string) {
	t.Helper()
	t.Setenv(name, "") // restores it afterwards
	os.Unsetenv(name)
}

// setVariables sets the variables that the shipped Caddyfiles require, and unsets the edge's
// others.
func setVariables(t *testing.T) {
	t.Helper()
	unset(t, "DATABASE_URL")
	unset(t, "REDIS_URL")
	t.Setenv("SITE_ADDRESS", "localhost")
	t.Setenv("UPSTREAM", "127.0.0.1:8080")
	t.Setenv("PORT", "8081")
}

func TestAdapt_MatchesGolden(t *testing.T) {
	setVariables(t)
	files, err := filepath.Glob("testdata/*.Caddyfile")
	if err != nil || len(files) == 0 {
		t.Fatalf("no Caddyfiles in testdata: %v", err)
	}
	for _, file := range append(files, shipped, sidecar) {
		golden := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)) + ".json"
		t.Run(golden, func(t *testing.T) {
			text := readFile(t, file)
			var got bytes.Buffer
			if err := json.Indent(&got, mustAdapt(t, text), "", "\t"); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			golden := filepath.Join("testdata", golden)
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := readFile(t, golden); got.String() != want {
				t.Errorf("adapts to\n%s\nwant\n%s", got.Bytes(), want)
			}
		})
	}
}

func TestShippedCaddyfiles_NameMissingVariables(t *testing.T) {
	for file, variables := range map[string][]string{
		shipped: {"SITE_ADDRESS", "UPSTREAM"}, sidecar: {"PORT", "UPSTREAM"},
	} {
		text := readFile(t, file)
		for _, name := range variables {
			for state, remove := range map[string]func(*testing.T){
				"unset": func(t *testing.T) { unset(t, name) },
				"empty": func(t *testing.T) { t.Setenv(name, " ") },
			} {
				t.Run(filepath.Base(file)+" "+name+" "+state, func(t *testing.T) {
					setVariables(t)
					remove(t)
					_, _, err := adapt(t, text)
					if err == nil || !strings.Contains(err.Error(), "lacks "+name+", which") {
						t.Errorf("error %v", err)
					}
				})
			}
		}
	}
}

func TestShippedCaddyfiles_AreFormatted(t *testing.T) {
	for _, file := range []string{shipped, sidecar} {
		text := readFile(t, file)
		if formatted := string(caddyfile.Format([]byte(text))); formatted != text {
			t.Errorf("caddy fmt changes %s to\n%s", file, formatted)
		}
	}
}

func TestSidecar_HasTheShippedRoutes(t *testing.T) {
	var parts [2]string
	for i, file := range []string{shipped, sidecar} {
		text := readFile(t, file)
		_, hoko, ok := strings.Cut(text, "\n\thoko {\n")
		hoko, site, ok2 := strings.Cut(hoko, "\n}\n")
		_, routes, ok3 := strings.Cut(site, "\n\tlog\n")
		_, hoko, ok4 := strings.Cut(hoko, "\n") // require_env, which differs
		if !ok || !ok2 || !ok3 || !ok4 {
			t.Fatalf("%s lacks hoko, require_env or log", file)
		}
		parts[i] = hoko + routes
	}
	if parts[0] != parts[1] {
		t.Errorf("the shipped file has\n%s\nthe sidecar\n%s", parts[0], parts[1])
	}
}

func TestDirectiveOrder_IsThatOfTheShippedRoute(t *testing.T) {
	setVariables(t)
	text := readFile(t, shipped)
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		lines = append(lines, strings.TrimPrefix(line, "\t"))
	}
	start := slices.Index(lines, "route {")
	end := start + slices.Index(lines[start:], "}")
	if start < 0 || end < start {
		t.Fatal("the shipped Caddyfile has no route block")
	}
	without := strings.Join(slices.Concat(lines[:start], lines[start+1:end], lines[end+1:]), "\n")

	got := handlers(t, mustAdapt(t, string(caddyfile.Format([]byte(without)))))
	want := handlers(t, mustAdapt(t, text))
	if !slices.Equal(got, want) {
		t.Errorf("handlers in order %v, with route %v", got, want)
	}
}

// handlers returns the names of a config's handlers in order.
func handlers(t *testing.T, config []byte) (names []string) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(config))
	for {
		token, err := decoder.Token()
		if err != nil {
			return names
		}
		if token != "handler" {
			continue
		}
		name, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		if name != "subroute" {
			names = append(names, name.(string))
		}
	}
}

func TestModules_AreRegistered(t *testing.T) {
	for _, id := range []string{
		"hoko", "http.handlers.api_key_auth", "http.handlers.redis_rate_limit", "http.handlers.track_sale",
		"http.handlers.api_errors", "http.handlers.request_fields",
		"http.handlers.hoko_health", "admin.api.hoko",
	} {
		if !slices.Contains(caddy.Modules(), id) {
			t.Errorf("module %s is not registered", id)
		}
	}
}
