//go:build !race

package platforms

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The test parses and type-checks everything. It generates no code, which takes minutes per
// platform and does not fail because of our code. The race detector would only slow it down.
func TestEdge_CompilesForOtherPlatforms(t *testing.T) {
	for _, platform := range []string{"darwin/arm64", "linux/arm64"} {
		t.Run(platform, func(t *testing.T) {
			t.Parallel()
			system, architecture, _ := strings.Cut(platform, "/")
			c := checker{files: token.NewFileSet(), sizes: types.SizesFor("gc", architecture),
				checked: map[string]*types.Package{"unsafe": types.Unsafe}}
			ours := 0
			for _, p := range packages(t, "GOOS="+system, "GOARCH="+architecture, "CGO_ENABLED=0") {
				if !p.DepOnly {
					ours++
				}
				for _, err := range c.check(p) {
					t.Error(err)
				}
			}
			if ours == 0 {
				t.Error("no package found")
			}
		})
	}
}

// pkg is a package as go list describes it.
type pkg struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string // import path in the source → package path
	DepOnly         bool
}

// packages returns the module's packages and their dependencies, each after its imports.
func packages(t *testing.T, env ...string) (all []pkg) {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap,DepOnly", "../../...")
	list.Env = append(os.Environ(), env...)
	list.Stderr = os.Stderr
	out, err := list.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := list.Start(); err != nil {
		t.Fatal(err)
	}
	for decoder := json.NewDecoder(out); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if err := list.Wait(); err != nil {
		t.Fatal(err)
	}
	return all
}

type checker struct {
	files   *token.FileSet
	sizes   types.Sizes
	checked map[string]*types.Package
}

// check type-checks a package, and only the declarations of a dependency.
func (c checker) check(p pkg) (errs []error) {
	if p.ImportPath == "unsafe" {
		return nil
	}
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(c.files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return []error{err}
		}
		files = append(files, file)
	}
	config := types.Config{
		Importer:         importer{c.checked, p.ImportMap},
		Sizes:            c.sizes,
		IgnoreFuncBodies: p.DepOnly,
		Error:            func(err error) { errs = append(errs, err) },
	}
	c.checked[p.ImportPath], _ = config.Check(p.ImportPath, c.files, files, nil) // errs has the error
	return errs
}

// importer resolves imports among the packages checked before.
type importer struct {
	checked map[string]*types.Package
	renamed map[string]string
}

func (i importer) Import(path string) (*types.Package, error) {
	if actual, ok := i.renamed[path]; ok {
		path = actual
	}
	if p := i.checked[path]; p != nil {
		return p, nil
	}
	return nil, errors.New("go list does not name this package")
}
