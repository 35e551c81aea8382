package imports

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "hoko.to/edge/"
)

// mayImport lists, by directory, which packages of this module its files may import, except tests.
// A row also applies to the directories below; "." means the root package alone.
var mayImport = map[string][]string{
	"cmd":                 {"caddymodule"},
	"caddymodule":         {"caddymodule", "plugin"},
	"caddymodule/backend": {"caddymodule/version", "plugin"},
	"plugin/metric":       {},
	"plugin/tracing":      {},
	"caddymodule/cli": {"caddymodule/backend", "caddymodule/cli", "caddymodule/explain", "caddymodule/health",
		"caddymodule/version", "plugin", "internal/devserver", "."},
	"plugin/limit":    {},
	"plugin/apierror": {},
	"plugin/apikey":   {"plugin/limit", "plugin/apierror", "plugin/metric", "plugin/tracing"},
	"plugin/ratelimit": {"plugin/limit", "plugin/apierror", "plugin/metric", "plugin/tracing",
		"plugin/ratelimit/shared"},
	"plugin/sale": {"plugin/apikey", "plugin/apierror", "plugin/metric", "plugin/tracing"},
	"plugin/postgres": {"plugin/apikey", "plugin/sale", "plugin/limit", "plugin/postgres", "plugin/metric",
		"plugin/tracing"},

	"plugin/postgres/internal/pgtest": {"plugin", "internal/testenv", "internal/relay"},

	"internal/devserver": {},
	"internal/testenv":   {"internal/devserver", "internal/relay", "internal/testkit", "plugin/postgres"},
	"internal/relay":     {},
	"e2e":                {"e2e", "internal"},
	"bench":              {"bench", "internal/devserver", "internal/relay", "plugin/postgres", "."},
}

// mayUse lists, by library, which directories may import it. If tests is true, test files anywhere
// may too.
var mayUse = []struct {
	library string
	dirs    []string
	tests   bool
}{
	{"github.com/caddyserver", []string{"cmd", "caddymodule", "e2e"}, false},
	{"go.uber.org/zap", []string{"cmd", "caddymodule", "e2e"}, false},
	{"github.com/jackc", []string{"plugin/postgres", "internal/devserver", "internal/testenv", "bench", "e2e"}, true},
	{"github.com/redis/go-redis", []string{"plugin/ratelimit", "bench", "e2e"}, true},
	{"go.opentelemetry.io", []string{"plugin/tracing", "internal/testkit"}, true},
	{"github.com/go-redis/redis_rate", []string{"plugin/ratelimit"}, true},
}

func TestImports_Tree(t *testing.T) {
	files := 0
	eachFile(t, func(name string) {
		if path.Ext(name) != ".go" {
			return
		}
		files++
		for _, imported := range importsOf(t, name) {
			if why := violation(name, imported); why != "" {
				t.Errorf("%s imports %s: %s", name, imported, why)
			}
		}
	})
	if files == 0 {
		t.Fatal("no Go file found")
	}
}

func TestImports_Rules(t *testing.T) {
	for _, tc := range []struct {
		file, imported string
		allowed        bool
	}{
		{"cmd/caddy/main.go", "hoko.to/edge/caddymodule", true},
		{"cmd/caddy/main.go", "hoko.to/edge/plugin/sale", false},
		{"caddymodule/sale.go", "hoko.to/edge/plugin/sale", true},
		{"caddymodule/sale.go", "hoko.to/edge/internal/testenv", false},
		{"caddymodule/sale.go", "hoko.to/edge/caddymodule/cli", true},
		{"caddymodule/sale.go", "hoko.to/edge/internal/devserver", false},
		{"caddymodule/backend/lease.go", "hoko.to/edge/caddymodule", false},
		{"caddymodule/backend/lease.go", "hoko.to/edge/internal/devserver", false},
		{"caddymodule/cli/dev.go", "hoko.to/edge/internal/devserver", true},
		{"caddymodule/cli/dev.go", "hoko.to/edge", true},
		{"plugin/sale/handler.go", "hoko.to/edge", false},
		{"edge.go", "hoko.to/edge/plugin/sale", false},
		{"caddymodule/sale_test.go", "hoko.to/edge/internal/testenv", true},
		{"caddymodule/sale.go", "github.com/jackc/pgx/v5", false},
		{"plugin/sale/handler.go", "hoko.to/edge/plugin/apikey", true},
		{"plugin/sale/handler.go", "hoko.to/edge/plugin/postgres", false},
		{"plugin/sale/handler_test.go", "hoko.to/edge/plugin/postgres", true},
		{"plugin/apikey/cache.go", "hoko.to/edge/plugin/limit", true},
		{"plugin/apikey/cache.go", "hoko.to/edge/plugin/ratelimit", false},
		{"plugin/limit/limit.go", "hoko.to/edge/plugin/apierror", false},
		{"plugin/postgres/store.go", "hoko.to/edge/plugin/sale", true},
		{"plugin/postgres/store.go", "hoko.to/edge/plugin/apierror", false},
		{"plugin/postgres/store.go", "github.com/jackc/tern/v2/migrate", true},
		{"plugin/postgres/store.go", "github.com/redis/go-redis/v9", false},
		{"plugin/sale/handler.go", "github.com/caddyserver/caddy/v2", false},
		{"plugin/sale/handler_test.go", "go.uber.org/zap", false},
		{"plugin/ratelimit/limiter.go", "github.com/go-redis/redis_rate/v10", true},
		{"plugin/sale/recorder.go", "go.opentelemetry.io/otel/trace", false},
		{"plugin/new/new.go", "hoko.to/edge/plugin/sale", false},
		{"plugin/new/new.go", "net/http", true},
	} {
		if why := violation(tc.file, tc.imported); (why == "") != tc.allowed {
			t.Errorf("%s imports %s: %q", tc.file, tc.imported, why)
		}
	}
}

// violation returns why a file may not import a package, or an empty string if it may.
func violation(file, imported string) string {
	dir, isTest := path.Dir(file), strings.HasSuffix(file, "_test.go")
	if target, ours := strings.CutPrefix(imported+"/", module); ours {
		if isTest || within(path.Clean(target), allowed(dir)) {
			return ""
		}
		return "mayImport does not allow it"
	}
	for _, row := range mayUse {
		if within(imported, []string{row.library}) && !within(dir, row.dirs) && !(isTest && row.tests) {
			return "only for " + strings.Join(row.dirs, ", ")
		}
	}
	return ""
}

// allowed returns the row of the nearest directory with one.
func allowed(dir string) []string {
	for ; dir != "."; dir = path.Dir(dir) {
		if row, ok := mayImport[dir]; ok {
			return row
		}
	}
	return nil
}

// within reports whether a path is one of the parents or below one.
func within(name string, parents []string) bool {
	return slices.ContainsFunc(parents, func(parent string) bool {
		return name == parent || strings.HasPrefix(name, parent+"/")
	})
}

func importsOf(t *testing.T, name string) (imported []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		imported = append(imported, name)
	}
	return imported
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// eachFile visits the tree's files, by path from the root, except .git, bin and node_modules.
func eachFile(t *testing.T, visit func(name string)) {
	t.Helper()
	tree := os.DirFS(root)
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (name == ".git" || name == "bin" || entry.Name() == "node_modules") {
			return fs.SkipDir
		}
		if entry.Type().IsRegular() {
			visit(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
