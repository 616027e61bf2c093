package evercred_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/evercred/evercred"

// layers are the packages of this module from the bottom up (DESIGN §5): one
// imports only from layers below its own. Those of the first may import each
// other, downward as the compiler makes sure. A new package needs a place here.
var layers = [][]string{
	{"internal/decide", "internal/ledger", "internal/timing", "internal/crash", "internal/procid", "internal/seam", "internal/fsys", "internal/fsys/*"},
	{".", "docs", "internal/durable", "internal/dirlock", "internal/jsonedit", "internal/issuer"},
	{"internal/hold"},
	{"filestore", "keychain", "grant", "oauth2src", "credtest", "helper", "internal/credjson"},
	{"federation"},
	{"owner/*"},
	{"sources"},
	{"internal/cli"},
	{"cmd/*", "internal/measure", "internal/measure/*", "internal/proof/suite", "internal/proof/stage"},
	{"internal/proof/*", "internal/proof/*/*"},
	{"internal/proof"},
}

// environment are the files that may look at it: the command, the owners' path
// functions and their defaults, and the guard that keeps tests from a real login.
var environment = []string{"cmd/*/main.go", "internal/cli/*", "sources/open.go", "owner/*/paths.go", "owner/*/open.go", "credtest/guard*.go", "internal/proof/*", "internal/proof/*/*"}

// sourceFile is one file that is not a test's, whatever its build tags.
type sourceFile struct {
	name string // relative to the module, with slashes
	ast  *ast.File
}

func (f sourceFile) dir() string { return path.Dir(f.name) }

// imports are the file's import paths and the names that it uses for them.
func (f sourceFile) imports() map[string]string {
	all := make(map[string]string)
	for _, spec := range f.ast.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		all[p] = path.Base(p)
		if spec.Name != nil {
			all[p] = spec.Name.Name
		}
	}
	return all
}

func sources(t *testing.T, tree fs.FS) []sourceFile {
	t.Helper()
	var all []sourceFile
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		base := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if name != "." && (base == "testdata" || base[0] == '.' || base[0] == '_') {
				return fs.SkipDir
			}
			if _, err := fs.Stat(tree, path.Join(name, "go.mod")); err == nil && name != "." {
				return fs.SkipDir // a module of its own, with a graph of its own
			}
			return nil
		case !strings.HasSuffix(base, ".go"), strings.HasSuffix(base, "_test.go"):
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
		all = append(all, sourceFile{name, file})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// layer finds a package's; -1: nobody gave it one.
func layer(dir string) int {
	return slices.IndexFunc(layers, func(patterns []string) bool { return matches(patterns, dir) })
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok
	})
}

// ours is the directory of an import path of this module.
func ours(imported string) (string, bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// badImports are the imports that break DESIGN §5.
func badImports(files []sourceFile) []string {
	var bad []string
	for _, f := range files {
		mine := layer(f.dir())
		if mine < 0 {
			bad = append(bad, fmt.Sprintf("%s: package %s stands in no layer", f.name, f.dir()))
			continue
		}
		for imported := range f.imports() {
			if why := badImport(f.dir(), mine, imported); why != "" {
				bad = append(bad, fmt.Sprintf("%s imports %s: %s", f.name, imported, why))
			}
		}
	}
	return bad
}

func badImport(dir string, mine int, imported string) string {
	if target, ok := ours(imported); ok {
		switch theirs := layer(target); {
		case target == "credtest":
			return "it is for tests"
		case theirs < 0 || theirs > mine || theirs == mine && mine > 0:
			return "arrows point down only"
		}
		return ""
	}
	standard := !strings.Contains(strings.Split(imported, "/")[0], ".")
	switch {
	case imported == "testing" || strings.HasPrefix(imported, "testing/"):
		if dir != "credtest" {
			return "only credtest does"
		}
	case strings.HasPrefix(imported, "golang.org/x/oauth2"):
		if dir != "oauth2src" {
			return "only oauth2src does"
		}
	case (dir == "." || mine == 0) && !standard && !strings.HasPrefix(imported, "golang.org/x/sys/"):
		return "the root and what it imports use the standard library and golang.org/x/sys"
	}
	return ""
}

// badHabits are init functions, and looks at the environment where none belong.
func badHabits(files []sourceFile) []string {
	looks := map[string][]string{
		"os":      {"Getenv", "LookupEnv", "Environ", "ExpandEnv", "UserHomeDir", "UserConfigDir", "UserCacheDir"},
		"syscall": {"Getenv", "Environ"},
	}
	var bad []string
	for _, f := range files {
		imports := f.imports()
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					bad = append(bad, f.name+" has an init function")
				}
			case *ast.SelectorExpr:
				x, _ := n.X.(*ast.Ident)
				for p, names := range looks {
					if x != nil && x.Name == imports[p] && slices.Contains(names, n.Sel.Name) && !matches(environment, f.name) {
						bad = append(bad, fmt.Sprintf("%s uses %s.%s", f.name, p, n.Sel.Name))
					}
				}
			}
			return true
		})
	}
	return bad
}

func TestArrowsPointDownOnly(t *testing.T) {
	for _, bad := range badImports(sources(t, os.DirFS("."))) {
		t.Error(bad)
	}
}

func TestNoInitAndNoEnvironment(t *testing.T) {
	for _, bad := range badHabits(sources(t, os.DirFS("."))) {
		t.Error(bad)
	}
}

// TestRulesCanFail breaks each rule once.
func TestRulesCanFail(t *testing.T) {
	imports := func(p string) string { return "package x; import _ " + strconv.Quote(p) }
	tests := []struct{ name, text, want string }{
		{"root.go", imports(module + "/filestore"), "arrows"},
		{"root.go", imports(module + "/internal/dirlock"), "arrows"},
		{"root.go", imports("github.com/spf13/cobra"), "standard library"},
		{"root_windows.go", imports(module + "/grant"), "arrows"},
		{"internal/seam/seam.go", imports(module), "arrows"},
		{"internal/ledger/l.go", imports("golang.org/x/net/proxy"), "standard library"},
		{"filestore/f.go", imports(module + "/grant"), "arrows"},
		{"grant/g.go", imports(module + "/owner/claudecode"), "arrows"},
		{"owner/claudecode/c.go", imports(module + "/internal/cli"), "arrows"},
		{"owner/claudecode/c.go", imports(module + "/owner/anthropic"), "arrows"},
		{"internal/cli/c.go", imports(module + "/credtest"), "for tests"},
		{"internal/issuer/i.go", imports("testing"), "only credtest"},
		{"internal/issuer/i.go", imports("testing/iotest"), "only credtest"},
		{"internal/cli/c.go", imports("golang.org/x/oauth2/clientcredentials"), "only oauth2src"},
		{"internal/novel/n.go", "package novel", "no layer"},
		{"filestore/f.go", imports(module + "/internal/novel"), "arrows"},
		{"grant/g.go", "package grant; func init() {}", "init"},
		{"grant/g.go", `package grant; import "os"; var home = os.Getenv("HOME")`, "os.Getenv"},
		{"grant/g.go", `package grant; import os2 "os"; var look = os2.LookupEnv`, "os.LookupEnv"},
		{"owner/claudecode/lock.go", `package claudecode; import "os"; var home, _ = os.UserHomeDir()`, "os.UserHomeDir"},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.want, func(t *testing.T) {
			files := sources(t, fstest.MapFS{tt.name: {Data: []byte(tt.text)}})
			got := append(badImports(files), badHabits(files)...)
			if len(got) != 1 || !strings.Contains(got[0], tt.want) {
				t.Errorf("found %q, want one with %q", got, tt.want)
			}
		})
	}
	fine := fstest.MapFS{
		"root.go":                   {Data: []byte(imports(module + "/internal/seam"))},
		"internal/seam/seam.go":     {Data: []byte(imports(module + "/internal/fsys"))},
		"internal/fsys/os.go":       {Data: []byte(imports("golang.org/x/sys/unix"))},
		"oauth2src/o.go":            {Data: []byte(imports("golang.org/x/oauth2"))},
		"credtest/c.go":             {Data: []byte(imports("testing"))},
		"owner/claudecode/paths.go": {Data: []byte(`package claudecode; import "os"; var look = os.LookupEnv`)},
		"root_test.go":              {Data: []byte("package x; import _ \"testing\"; func init() {}")},
		"grant/testdata/bad.go":     {Data: []byte("package x; func init() {}")},
		"grant/g.go":                {Data: []byte("package grant; type t struct{}; func (t) init() {}")},
	}
	if got := append(badImports(sources(t, fine)), badHabits(sources(t, fine))...); len(got) != 0 {
		t.Errorf("found %q in a tree that keeps the rules", got)
	}
}
